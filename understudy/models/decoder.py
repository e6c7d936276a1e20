"""GauGAN's decoder around its blocks (Park et al. 2019, SPADE, appendix A): the same for CAT's version."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F

from understudy.arch.decoder import DecoderArch
from understudy.models.generator import Generator, Keep
from understudy.models.layers import ConvTanh, convolution

SLOPE = 0.2  # of the LeakyReLU before the last convolution


class Decoder(Generator):
    """Taps: "block.I", the output of each block before its map is doubled, [N, C, H / 2^(6-I), W / 2^(6-I)].

    stem_norm: after the convolution that makes the first map. blocks: called with features and label map of one size.

    Norms are torch.nn.BatchNorm2d, which also runs where there is no GPU; for training on several of them,
    torch.nn.SyncBatchNorm.convert_sync_batchnorm puts synchronised ones in their place, with the same names of weights.
    """

    def __init__(self, arch: DecoderArch, stem_norm: nn.Module, blocks: Iterable[nn.Module]) -> None:
        super().__init__(arch.stride)
        first, *_, last = arch.places()
        self.stem = nn.Sequential()
        self.stem.add_module("conv", convolution(arch.input_channels, first.reads.width, 3, "zero", bias=True))
        self.stem.add_module("norm", stem_norm)
        self.blocks = nn.ModuleList(blocks)
        self.image = ConvTanh(convolution(last.writes.width, arch.output_channels, 3, "zero", bias=True))

    def translate(self, x: Tensor, keep: Keep) -> Tensor:
        labels, step = x, self.stride
        x = self.stem(_shrunk(labels, step))  # [N, input_channels, H / 64, W / 64] -> [N, stem, H / 64, W / 64]
        for index, block in enumerate(self.blocks):
            if index:
                x, step = F.interpolate(x, scale_factor=2.0, mode="nearest"), step // 2  # H / 2 step -> H / step
            x = block(x, _shrunk(labels, step))
            keep(f"block.{index}", x)
        return self.image(F.leaky_relu(x, SLOPE))  # [N, ngf, H, W] -> [N, 3, H, W]


def _shrunk(labels: Tensor, step: int) -> Tensor:
    """Nearest neighbours, so that a label stays a label: [N, C, H, W] -> [N, C, H / step, W / step]."""
    return labels[..., ::step, ::step]
