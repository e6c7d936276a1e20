"""The discriminator that a teacher leaves behind: its architecture as data, and its weights.

A student starts from the trained one or from a fresh one of the same architecture (CAT, released settings: the former).
Deliberate difference: the released code keeps the discriminator of the best epoch, here it is the one of the last step.
"""

from pathlib import Path

import torch

from understudy.arch.base import Arch
from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.models.discriminators import CriticNorm, PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.tensors import load_weights, save_weights

SCHEMA = 2  # 1 did not say whether it was trained


def critic_for(arch: Arch, ndf: int, generator: torch.Generator) -> PatchDiscriminator:
    """A newly initialised discriminator of label map and image, for a generator of this architecture."""
    norm: CriticNorm = "batch" if arch.norm == "batch" else "instance_affine"
    critic = PatchDiscriminator(arch.input_channels + arch.output_channels, ndf, norm)
    init_normal(critic, generator)
    return critic


def save_critic(critic: PatchDiscriminator, folder: Path, trained: bool) -> None:
    """Write discriminator.json and discriminator.safetensors. trained: whether a student may start from it."""
    shape = {"input_channels": critic.input_channels, "ndf": critic.ndf, "norm": critic.norm, "trained": trained}
    save_weights(critic, folder / "discriminator.safetensors")
    write_json(folder / "discriminator.json", {"schema": SCHEMA, "family": "patch", **shape})


def fresh_critic(folder: Path, generator: torch.Generator) -> PatchDiscriminator:
    """A newly initialised discriminator of the architecture in discriminator.json."""
    critic = _build(folder / "discriminator.json")
    init_normal(critic, generator)
    return critic


def trained_critic(folder: Path) -> PatchDiscriminator:
    """The discriminator that was saved, weights and all. Raises UserError when it was never trained."""
    critic = _build(folder / "discriminator.json")
    if not read_json(folder / "discriminator.json").get("trained"):
        raise UserError(
            "distill.discriminator: teacher: the teacher was imported, and no discriminator with it; set it to fresh"
        )
    load_weights(critic, folder / "discriminator.safetensors")
    return critic


def _build(path: Path) -> PatchDiscriminator:
    value = read_json(path)
    try:
        if value["schema"] != SCHEMA or value["family"] != "patch":
            raise UserError(f"{path}: unknown schema or family; run `dvc repro teacher`")
        return PatchDiscriminator(value["input_channels"], value["ndf"], value["norm"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a discriminator's description ({error!r}); run `dvc repro teacher`") from None
