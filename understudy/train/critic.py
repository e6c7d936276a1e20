"""The discriminator that a teacher leaves behind: its architecture as data, and its weights.

A student starts from the trained one or from a fresh one of the same architecture (CAT, released settings: the former).
Deliberate difference: the released code keeps the discriminator of the best epoch, here it is the one of the last step.
"""

from pathlib import Path

import torch

from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.tensors import load_weights, save_weights


def save_critic(critic: PatchDiscriminator, folder: Path) -> None:
    """Write discriminator.json and discriminator.safetensors."""
    shape = {"input_channels": critic.input_channels, "ndf": critic.ndf, "norm": critic.norm}
    save_weights(critic, folder / "discriminator.safetensors")
    write_json(folder / "discriminator.json", {"schema": 1, "family": "patch", **shape})


def fresh_critic(folder: Path, generator: torch.Generator) -> PatchDiscriminator:
    """A newly initialised discriminator of the architecture in discriminator.json."""
    critic = _build(folder / "discriminator.json")
    init_normal(critic, generator)
    return critic


def trained_critic(folder: Path) -> PatchDiscriminator:
    """The discriminator that was saved, weights and all."""
    critic = _build(folder / "discriminator.json")
    load_weights(critic, folder / "discriminator.safetensors")
    return critic


def _build(path: Path) -> PatchDiscriminator:
    value = read_json(path)
    try:
        if value["schema"] != 1 or value["family"] != "patch":
            raise UserError(f"{path}: unknown schema or family; run `dvc repro teacher`")
        return PatchDiscriminator(value["input_channels"], value["ndf"], value["norm"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a discriminator's description ({error!r}); run `dvc repro teacher`") from None
