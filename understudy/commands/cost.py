"""Multiply-accumulates and parameters of a generator.

Convolutions only: norms, biases and activations are not counted. Two conventions, since papers
and physics disagree on transposed convolutions: `true` counts them at their input size, `legacy`
at their output size as the literature does. The inception generator has CAT's settings: hidden
widths of a sixth of the trunk's, and 9 blocks unless --blocks says otherwise. So has spade, CAT's
version of gaugan; both read 36 channels of 256x512 pixels, for 35 labels and the instances' edges.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import OK, UserError

if TYPE_CHECKING:
    from understudy.arch.base import Arch, Norm

# By model: the norm of the papers' counts, the residual blocks or levels, the input channels, and the size in pixels.
MODELS: dict[str, tuple["Norm", int, int, tuple[int, int]]] = {
    "inception": ("instance_affine", 9, 3, (256, 256)),
    "resnet9": ("instance", 9, 3, (256, 256)),
    "resnet6": ("instance", 6, 3, (256, 256)),
    "unet256": ("batch", 8, 3, (256, 256)),
    "unet128": ("batch", 7, 3, (128, 128)),
    "spade": ("batch", 7, 36, (256, 512)),
    "gaugan": ("batch", 7, 36, (256, 512)),
}
REDUCTION = 6  # of CAT's branches: hidden width floor(4 ngf / 6)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arch", nargs="?", type=Path, metavar="ARCH.json", help="an architecture file, or --model")
    parser.add_argument("--model", choices=MODELS, help="a whole generator of the literature")
    parser.add_argument("--ngf", type=int, help="width of its first convolution (default: 64)")
    parser.add_argument(
        "--norm",
        choices=("batch", "instance", "instance_affine"),
        help="default: of the papers' counts, instance_affine for inception, instance for resnet, otherwise batch",
    )
    parser.add_argument("--blocks", type=int, help="residual blocks of the inception generator (default: 9)")
    parser.add_argument("--input-channels", type=int, help="default: 3, or 36 for spade and gaugan")
    parser.add_argument(
        "--size", type=_size, metavar="HxW", help="pixels (default: of the papers' counts, or ARCH.json's own)"
    )
    parser.add_argument("--json", action="store_true", help="print macs_true, macs_legacy and params as JSON")


def run(arguments: argparse.Namespace) -> int:
    from understudy.cost import cost

    try:
        arch = _of_file(arguments) if arguments.arch else _of_model(arguments)
    except ValueError as error:
        raise UserError(str(error)) from None
    found = cost(arch)
    if arguments.json:
        print(json.dumps({"macs_true": found.macs_true, "macs_legacy": found.macs_legacy, "params": found.params}))
        return OK
    height, width = arch.size
    print(f"{arguments.arch or arguments.model}: {arch.depth}, norm {arch.norm}, "
          f"{arch.input_channels} channels of {height}x{width} pixels in")  # fmt: skip
    print(f"  MACs, true    {found.macs_true:>18,}   transposed convolutions at their input size")
    print(f"  MACs, legacy  {found.macs_legacy:>18,}   at their output size, as the literature counts")
    print(f"  parameters    {found.params:>18,}")
    return OK


def _of_file(arguments: argparse.Namespace) -> "Arch":
    from understudy.arch.families import load

    for option in ("model", "ngf", "norm", "blocks", "input_channels"):
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option.replace('_', '-')} describes a --model; {arguments.arch} has its own")
    arch = load(arguments.arch)
    return replace(arch, size=arguments.size) if arguments.size else arch


def _of_model(arguments: argparse.Namespace) -> "Arch":
    from understudy.arch.gaugan import gaugan
    from understudy.arch.inception import inception
    from understudy.arch.resnet import resnet
    from understudy.arch.spade import spade
    from understudy.arch.unet import unet

    if arguments.model is None:
        raise UserError(f"give an ARCH.json, or --model with one of {', '.join(MODELS)}")
    norm, depth, channels, size = MODELS[arguments.model]
    if arguments.blocks is not None and arguments.model != "inception":
        raise UserError(f"--blocks is for inception; {arguments.model} has {depth}")
    ngf = 64 if arguments.ngf is None else arguments.ngf
    channels = channels if arguments.input_channels is None else arguments.input_channels
    norm, size = arguments.norm or norm, arguments.size or size
    if arguments.model in ("spade", "gaugan"):
        if norm != "batch":
            raise UserError(f"--norm: {arguments.model} has batch norms alone")
        if arguments.model == "spade":
            return spade(ngf, REDUCTION, "onehot", channels, size)
        return gaugan(ngf, "onehot", channels, size)
    # Neither padding nor encoding changes a count.
    if arguments.model.startswith("unet"):
        return unet(ngf, depth, norm, "rgb", channels, size)
    if arguments.model.startswith("resnet"):
        return resnet(ngf, depth, norm, "reflect", "rgb", channels, size)
    blocks = depth if arguments.blocks is None else arguments.blocks
    return inception(ngf, blocks, REDUCTION, norm, "reflect", "rgb", channels, size)


def _size(text: str) -> tuple[int, int]:
    """`HxW` as (height, width)."""
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, as 256x512; found {text!r}")
    return int(height), int(width)
