"""Scoring a generator on the validation split while it trains: the only data that the best checkpoint is chosen by."""

from pathlib import Path

import torch
from torch import Tensor, nn

from understudy.data.prepared import DatasetInfo, Encoding, encode_inputs, load_split, show_inputs, to_bytes
from understudy.data.terms import INPUT_TITLES
from understudy.grid import spread, write_grid
from understudy.metrics.collapse import find_collapse
from understudy.metrics.judge import load_judge
from understudy.metrics.kid import kernel_distance
from understudy.metrics.score import observe
from understudy.metrics.segmentation import mean_iou
from understudy.stage import Job
from understudy.train.forward import Autocast

BATCH = 32  # images translated at once: a matter of memory alone
SELECTION = "kid_segmenter_noresize_val"  # the best checkpoint has the lowest; unbiased, so small splits will do


class Validation:
    """The validation split with the judge's view of its real photos, observed once."""

    def __init__(
        self, job: Job, info: DatasetInfo, encoding: Encoding, device: torch.device, autocast: Autocast
    ) -> None:
        self.info, self.encoding, self.device, self.autocast = info, encoding, device, autocast
        self.pairs = load_split(job.input("prepare/val.zip"), info)
        self.judge = load_judge(job.input("judge/judge.json").parent, info.num_classes).to(device)
        self.real = observe(self.judge, self.pairs.photos, self.pairs.inputs, info.ignore)

    def score(self, generator: nn.Module) -> dict[str, float]:
        """Kernel distance (lower is better) and mIoU (higher is better) of the translated validation labels."""
        photos = translate(generator, self.pairs.inputs, self.encoding, self.info, self.device, self.autocast)
        seen = observe(self.judge, photos, self.pairs.inputs, self.info.ignore)
        return {
            SELECTION: kernel_distance(self.real.features, seen.features),
            "miou_segmenter_noresize_val": mean_iou(seen.confusion.sum(0)).item(),
        }

    def find_collapse(self, generator: nn.Module) -> str | None:
        """What an average would hide, as a sentence (understudy.metrics.collapse)."""
        photos = translate(generator, self.pairs.inputs, self.encoding, self.info, self.device, self.autocast)
        return find_collapse(photos, show_inputs(self.pairs.inputs, self.info), self.pairs.photos)

    def draw(self, generator: nn.Module, path: Path) -> None:
        """A picture of some validation images: label map, real photo, translation."""
        shown = spread(len(self.pairs))
        inputs = self.pairs.inputs[shown]
        fake = translate(generator, inputs, self.encoding, self.info, self.device, self.autocast)
        columns = {
            INPUT_TITLES[self.info.kind]: show_inputs(inputs, self.info),
            "real photo": self.pairs.photos[shown],
            "translation": fake,
        }
        write_grid(columns, path)


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
