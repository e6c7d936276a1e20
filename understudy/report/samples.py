"""Some test images through the networks of a run: their translations, and the features that the relation is drawn of.

A network is shown only as what it is: one whose files are not those that the evaluation speaks of is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from understudy.arch.base import Arch
from understudy.data.prepared import DatasetInfo, encode_inputs, load_info, load_split, to_bytes
from understudy.errors import UserError
from understudy.examples import example_columns, examples
from understudy.gate import DATASET, EVALUATION, TEST_SPLIT
from understudy.graph import NETWORKS
from understudy.models.generator import Generator
from understudy.report.gather import Run
from understudy.weights import load_generator


@dataclass(frozen=True)
class Samples:
    """names: of the n images. inputs: as in `Split`, n of them. pictures: uint8 [n, 3, H, W] by column title.

    features: float [n, C, h, w] of the middle tap, by network. notes: which networks are not shown, and why.
    """

    info: DatasetInfo
    names: tuple[str, ...]
    inputs: Tensor
    pictures: Mapping[str, Tensor]
    features: Mapping[str, Tensor]
    notes: list[str] = field(default_factory=list)


def draw_samples(run: Run) -> Samples:
    """The test images that evaluate draws. Raises UserError without a test split."""
    notes: list[str] = []
    evaluated = (run.root / EVALUATION).exists()
    if not evaluated:
        notes.append("These networks have not been evaluated: `dvc repro evaluate` does.")
    elif wrong := next(filter(None, map(run.differs, (DATASET, TEST_SPLIT))), ""):
        raise UserError(f"{wrong}, so its pictures are not shown; `dvc repro evaluate` evaluates this one")
    info = load_info(run.path(DATASET))
    pairs = load_split(run.path(TEST_SPLIT), info)
    chosen = examples(pairs)
    inputs = pairs.inputs[chosen]
    pictures: dict[str, Tensor] = example_columns(pairs, chosen, info)
    features: dict[str, Tensor] = {}
    for name, stage in NETWORKS.items():
        files = [f"artifacts/{stage}/{file}" for file in ("arch.json", "weights.safetensors")]
        try:
            wrong = next(filter(None, map(run.differs, files)), "") if evaluated else ""
            if wrong:
                raise UserError(f"{wrong}; `dvc repro evaluate` evaluates this one")
            arch, net = load_generator(*map(run.path, files))
            info.require_fit(arch.input_channels, arch.encoding, files[0])
            pictures[name], features[name] = translate(arch, net, inputs, info)
        except UserError as error:
            notes.append(f"The {name} is not shown: {error}.")
    return Samples(info, tuple(pairs.names[index] for index in chosen.tolist()), inputs, pictures, features, notes)


@torch.inference_mode()
def translate(arch: Arch, net: Generator, inputs: Tensor, info: DatasetInfo) -> tuple[Tensor, Tensor]:
    """Photos uint8 [n, 3, H, W] and features of the middle tap [n, C, h, w], in fp32. inputs: as in `Split`."""
    photos, features = [], []
    for one in inputs.split(1):  # one at a time: large images need not fit in memory together
        image, tapped = net.eval()(encode_inputs(one, arch.encoding, info), taps=(arch.middle,))
        photos.append(to_bytes(image))
        features.append(tapped[arch.middle])
    return torch.cat(photos), torch.cat(features)
