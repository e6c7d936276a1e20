"""The generator that the `teacher` section describes."""

from understudy.arch.base import Arch
from understudy.arch.gaugan import gaugan
from understudy.arch.inception import inception
from understudy.arch.layers import Size
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.params.teacher import Teacher


def teacher_arch(params: Teacher, input_channels: int, size: Size) -> Arch:
    """The whole generator, for images of `size`. Raises UserError for numbers that make no network."""
    ngf, norm, encoding = params.ngf, params.norm, params.encoding
    if params.family == "inception":
        own = params.inception
        return inception(ngf, own.blocks, own.reduction, norm, own.padding, encoding, input_channels, size)
    if params.family == "resnet":
        return resnet(ngf, params.resnet.blocks, norm, params.resnet.padding, encoding, input_channels, size)
    if params.family == "spade":
        return spade(ngf, params.spade.reduction, encoding, input_channels, size)
    if params.family == "gaugan":
        return gaugan(ngf, encoding, input_channels, size)
    if params.family == "custom":
        from understudy.foreign.traced import traced  # which needs torch, as the others do not

        return traced(params.custom.file, params.custom.name, encoding, input_channels, size)
    return unet(ngf, params.unet.levels, norm, encoding, input_channels, size)
