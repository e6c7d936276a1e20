"""PatchGAN: judges each 70 x 70 patch of an image on its own (Isola et al., pix2pix, section 3.2.2; n_layers 3)."""

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from understudy.arch.base import has_bias
from understudy.models.layers import norm_layer

CriticNorm = Literal["batch", "instance_affine"]


class PatchDiscriminator(nn.Module):
    """[N, input_channels, H, W] -> logits [N, 1, H / 8 - 2, W / 8 - 2], for H and W multiples of 8, at least 24.

    For a conditional discriminator the input is label map and image, joined along the channels. No sigmoid at the end.
    """

    def __init__(self, input_channels: int, ndf: int, norm: CriticNorm) -> None:
        super().__init__()
        self.input_channels, self.ndf, self.norm = input_channels, ndf, norm
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv0"] = nn.Conv2d(input_channels, ndf, 4, stride=2, padding=1)
        layers["relu0"] = nn.LeakyReLU(0.2, inplace=True)
        for index, stride in enumerate((2, 2, 1)):
            cin, cout = ndf << index, ndf << (index + 1)
            layers[f"conv{index + 1}"] = nn.Conv2d(cin, cout, 4, stride, padding=1, bias=has_bias(norm))
            layers[f"norm{index + 1}"] = norm_layer(norm, cout)
            layers[f"relu{index + 1}"] = nn.LeakyReLU(0.2, inplace=True)
        layers["conv4"] = nn.Conv2d(8 * ndf, 1, 4, padding=1)
        self.layers = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
