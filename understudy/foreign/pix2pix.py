"""Generators of the public CycleGAN-and-pix2pix code, recovered from the names and shapes of a state dict alone.

That code numbers the layers of one `nn.Sequential`, those without weights included, so that the numbers of a ResNet
tell how many blocks it has and whether they drop out (dropout is off in translation, and so left out here). The kind of
norm shows in what a norm stores: scales and running statistics (batch), scales alone (instance with scales), nothing.
Its residual blocks pad by reflection, which no shape shows: the code has no option for anything else. A UNet there is
nested, each level inside the one around it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from understudy.arch.base import Arch, Norm
from understudy.arch.layers import Size
from understudy.arch.resnet import resnet
from understudy.arch.unet import unet
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.foreign.fitting import Tensors, fitted
from understudy.state_dict import listed

DEEPEST = 16  # levels: every one halves the image
FIRST_BLOCK = 10  # after padding and three times convolution, norm, ReLU


def recognise(tensors: Tensors, size: Size, encoding: Encoding, where: str) -> tuple[Arch, dict[str, Tensor]]:
    """The architecture of a public generator, and its weights under the names of the network that `build` makes.

    tensors: the state dict, from `read_state`. size: of the images that the network is to translate here; shapes
    do not tell. encoding: what label maps enter as. where: what to call the file in errors.
    Raises UserError, naming tensors, when the file is of another layout, or not exactly of one architecture.
    """
    blocks = {match[1] for name in tensors if (match := re.match(r"model\.(\d+)\.conv_block\.", name))}
    depth = max((name.count("3.model") for name in tensors), default=0)
    if depth > DEEPEST:
        raise UserError(f"{where}: its names are nested {depth} levels deep, no UNet is more than {DEEPEST}")
    if blocks:
        ngf, channels = _first(tensors, "model.1.weight", where)
        arch = _arch(where, resnet, ngf, len(blocks), _norm(tensors, "model.2"), "reflect", encoding, channels, size)
        return arch, fitted(tensors, arch, dict(_resnet_layers(len(blocks), _drops_out(tensors))), where)
    if "model.model.0.weight" in tensors:
        ngf, channels = _first(tensors, "model.model.0.weight", where)
        arch = _arch(where, unet, ngf, depth + 2, _norm(tensors, "model.model.1.model.2"), encoding, channels, size)
        return arch, fitted(tensors, arch, dict(_unet_layers(depth + 2)), where)
    raise UserError(
        f"{where}: not a generator of the public CycleGAN-and-pix2pix code (resnet_6blocks, resnet_9blocks, unet_128, "
        f"unet_256): it has no residual blocks and no nested levels, but {listed(list(tensors))}"
    )


def _first(tensors: Tensors, name: str, where: str) -> tuple[int, int]:
    """Width and input channels of the first convolution."""
    shape = tuple(tensors[name].shape) if name in tensors else ()
    if len(shape) != 4:
        raise UserError(f"{where}: {name}: expected the first convolution, found {shape or 'nothing'}")
    return shape[0], shape[1]


def _arch(where: str, make: Callable[..., Arch], *arguments: Any) -> Arch:
    try:
        return make(*arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _drops_out(tensors: Tensors) -> bool:
    """With dropout the second convolution of a block stands one place later, where its norm would be."""
    sixth = tensors.get(f"model.{FIRST_BLOCK}.conv_block.6.weight")
    return sixth is not None and sixth.dim() == 4


def _norm(tensors: Tensors, layer: str) -> Norm:
    """By what the first norm stores. Old versions of torch stored running statistics of instance norms without scales
    too, which nothing reads."""
    if f"{layer}.weight" not in tensors:
        return "instance"
    return "batch" if f"{layer}.running_mean" in tensors else "instance_affine"


def _resnet_layers(blocks: int, dropout: bool) -> Iterator[tuple[str, str]]:
    for index, place in enumerate((1, 4, 7)):
        yield f"down.{index}.conv", f"model.{place}"
        yield f"down.{index}.norm", f"model.{place + 1}"
    second = 6 if dropout else 5
    for index in range(blocks):
        there = f"model.{FIRST_BLOCK + index}.conv_block"
        yield f"blocks.{index}.first", f"{there}.1"
        yield f"blocks.{index}.first_norm", f"{there}.2"
        yield f"blocks.{index}.second", f"{there}.{second}"
        yield f"blocks.{index}.second_norm", f"{there}.{second + 1}"
    end = FIRST_BLOCK + blocks
    for index, place in enumerate((end, end + 3)):
        yield f"up.{index}.conv", f"model.{place}"
        yield f"up.{index}.norm", f"model.{place + 1}"
    yield "up.2.conv", f"model.{end + 7}"


def _unet_layers(levels: int) -> Iterator[tuple[str, str]]:
    yield "down.0.conv", "model.model.0"
    there = "model.model.1.model"
    for level in range(1, levels):
        innermost = level == levels - 1
        yield f"down.{level}.conv", f"{there}.1"
        if not innermost:
            yield f"down.{level}.norm", f"{there}.2"
        up = 3 if innermost else 5
        yield f"up.{levels - 1 - level}.conv", f"{there}.{up}"
        yield f"up.{levels - 1 - level}.norm", f"{there}.{up + 1}"
        there += ".3.model"
    yield "image.conv", "model.model.3"
