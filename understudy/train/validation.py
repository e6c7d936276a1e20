"""Scoring a generator on the validation split while it trains: the only data that the best checkpoint is chosen by."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from understudy.data.prepared import DatasetInfo, Encoding, encode_inputs, load_split, show_inputs, to_bytes
from understudy.examples import example_columns, examples
from understudy.grid import write_grid
from understudy.metrics.collapse import find_collapse
from understudy.metrics.judge import load_judge
from understudy.metrics.kid import kernel_distance, two_sample_kernel_distance
from understudy.metrics.protocol import KID, READINGS, on_validation
from understudy.metrics.score import observe, observe_real
from understudy.stage import Job
from understudy.train.forward import Autocast

BATCH = 32  # images translated at once: a matter of memory alone


class Validation:
    """The validation split with the judge's view of its real photos, observed once.

    selection: the metric by which the best checkpoint has the lowest value, the kernel distance; unbiased, so small
    splits will do. reading: the metric of what the judge reads in a translation.
    """

    def __init__(
        self, job: Job, info: DatasetInfo, encoding: Encoding, device: torch.device, autocast: Autocast
    ) -> None:
        self.info, self.encoding, self.device, self.autocast = info, encoding, device, autocast
        self.pairs = load_split(job.input("prepare/val.zip"), info)
        self.judge = load_judge(job.input("judge/judge.json").parent, info).to(device)
        self.real = observe_real(self.judge, self.pairs)
        self._read = READINGS[info.kind][0].name
        self.selection, self.reading = on_validation(KID[info.kind]), on_validation(self._read)

    @property
    def columns(self) -> Mapping[str, str]:
        """Names that are the same for every kind of data, for `dvc plots`, and the metrics that they stand for."""
        return {"selection": self.selection, "reading": self.reading}

    def score(self, generator: nn.Module) -> dict[str, float]:
        """`selection` and `reading` of the translated validation inputs."""
        seen = observe(self.judge, self._translated(generator), self.pairs.inputs)
        distance = two_sample_kernel_distance if self.info.kind == "unpaired" else kernel_distance
        return {
            self.selection: float(distance(self.real.features, seen.features)),
            self.reading: self.judge.statistics[self._read](seen.readings.sum(0)).item(),
        }

    def find_collapse(self, generator: nn.Module) -> str | None:
        """What an average would hide, as a sentence (understudy.metrics.collapse)."""
        shown = show_inputs(self.pairs.inputs, self.info)
        return find_collapse(self._translated(generator), shown, self.pairs.photos, self.info.kind)

    def draw(self, generator: nn.Module, path: Path) -> None:
        """A picture of some validation images: input, real photo, translation."""
        shown = examples(self.pairs)
        fake = self._translated(generator, self.pairs.inputs[shown])
        write_grid({**example_columns(self.pairs, shown, self.info), "translation": fake}, path)

    def _translated(self, generator: nn.Module, inputs: Tensor | None = None) -> Tensor:
        chosen = self.pairs.inputs if inputs is None else inputs
        return translate(generator, chosen, self.encoding, self.info, self.device, self.autocast)


@torch.no_grad()
def translate(
    generator: nn.Module,
    inputs: Tensor,
    encoding: Encoding,
    info: DatasetInfo,
    device: torch.device,
    autocast: Autocast,
) -> Tensor:
    """Photos uint8 [N, 3, H, W], on the CPU, for inputs as in `Split`. The generator must be in eval mode."""
    photos = []
    for part in inputs.split(BATCH):
        encoded = encode_inputs(part.to(device), encoding, info)
        with autocast():
            photos.append(to_bytes(generator(encoded)).cpu())
    return torch.cat(photos)
