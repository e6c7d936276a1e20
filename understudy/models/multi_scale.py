"""GauGAN's discriminator: PatchGANs that judge an image at several sizes (Park et al. 2019, SPADE, appendix A).

Multi-scale as in pix2pixHD (Wang et al. 2018, section 3.2), with spectral norm before the instance norms. Deliberate
difference: torch's parametrization of spectral norm, so that the weights of others have other names.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from understudy.models.conv import Conv2d
from understudy.models.instance_norm import InstanceNorm2d

SCALES = 2
WIDTHS = (2, 4, 8)  # of the convolutions between the first and the last, in ndf
KERNEL, PADDING, SLOPE = 4, 2, 0.2


class SpectralPatchDiscriminator(nn.Module):
    """[N, input_channels, H, W] -> the maps after each of five convolutions; the last are the logits, without sigmoid.

    [N, ndf, H1, W1], [N, 2 ndf, H2, W2], [N, 4 ndf, H3, W3], [N, 8 ndf, H3 + 1, W3 + 1], [N, 1, H3 + 2, W3 + 2],
    where H1 = floor(H / 2) + 1, H2 = floor(H1 / 2) + 1 and so on. H and W: at least 2.
    """

    def __init__(self, input_channels: int, ndf: int) -> None:
        super().__init__()
        first = Conv2d(input_channels, ndf, KERNEL, 2, PADDING)
        self.layers = nn.ModuleList([nn.Sequential(first, nn.LeakyReLU(SLOPE))])
        cin = ndf
        for width, stride in zip(WIDTHS, (2, 2, 1), strict=True):
            layer: OrderedDict[str, nn.Module] = OrderedDict()
            # Without a bias, which the norm would take away again.
            layer["conv"] = spectral_norm(Conv2d(cin, width * ndf, KERNEL, stride, PADDING, bias=False))
            layer["norm"] = InstanceNorm2d(width * ndf)
            layer["relu"] = nn.LeakyReLU(SLOPE)
            self.layers.append(nn.Sequential(layer))
            cin = width * ndf
        self.layers.append(Conv2d(cin, 1, KERNEL, 1, PADDING))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


class MultiScaleDiscriminator(nn.Module):
    """[N, input_channels, H, W] -> the maps of each scale's discriminator, the full size first, then half of it.

    For a conditional discriminator the input is label map and image, joined along the channels. H and W: at least 3.
    """

    def __init__(self, input_channels: int, ndf: int) -> None:
        super().__init__()
        self.input_channels, self.ndf = input_channels, ndf
        self.scales = nn.ModuleList(SpectralPatchDiscriminator(input_channels, ndf) for _ in range(SCALES))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        maps = []
        for index, scale in enumerate(self.scales):
            if index:  # [N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            maps.append(scale(x))
        return maps
