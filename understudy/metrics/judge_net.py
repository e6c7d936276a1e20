"""What every judge is made of: an encoder with two convolutions a level, and a U-Net's decoder with one.

Ronneberger et al. 2015. Full resolution is the costliest and gets few channels: it is there so that thin things keep
their edges.
"""

import copy
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from understudy.data.terms import Kind

Statistics = Mapping[str, Callable[[Tensor], Tensor]]
STRIDE = 16  # of the coarsest level: photos are padded to a multiple of it


class JudgeNet(nn.Module):
    """The encoder that the judges share, and what each of them can do.

    kind: of the data that it is for. num_classes: that it knows; 0 without label maps. statistics: the metrics of what
    it reads, each from a sum of `read`'s readings [..., *] to float64 [...]. width: channels at half resolution; half
    as many at full, and 2, 4 and 4 times as many at a quarter, an eighth and a sixteenth.
    """

    kind: ClassVar[Kind]
    statistics: ClassVar[Statistics]
    num_classes: int = 0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        half = max(width // 2, 1)
        self.fine = convolution(3, half)  # stride 1
        self.down1 = nn.Sequential(convolution(half, width, stride=2), convolution(width, width))
        self.down2 = nn.Sequential(convolution(width, 2 * width, stride=2), convolution(2 * width, 2 * width))
        self.down3 = nn.Sequential(convolution(2 * width, 4 * width, stride=2), convolution(4 * width, 4 * width))
        self.down4 = nn.Sequential(convolution(4 * width, 4 * width, stride=2), convolution(4 * width, 4 * width))
        self.context = nn.Linear(4 * width, 4 * width)  # what the whole image shows, added at every place

    @property
    def dims(self) -> int:
        """D, the number of features of one photo."""
        return 3 * self.width

    def observe(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """For photos [N, 3, H, W] in [-1, 1], of any H and W of 1 px or more: the output, which begins with N, and
        float32 [N, D], the features behind the Frechet distance and KID."""
        raise NotImplementedError

    def read(self, output: Tensor, inputs: Tensor) -> Tensor:
        """What the output says of each photo, given the inputs that it was made from (as in `Split`, on any device).

        Returns [N, ...] on the CPU; sums over photos are what `statistics` takes.
        """
        raise NotImplementedError

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for one photo. The network itself is left untouched."""
        net = copy.deepcopy(self).to("meta")
        with FlopCounterMode(display=False) as counter:
            net.observe(torch.empty(1, 3, height, width, device="meta"))
        return counter.get_total_flops() // 2

    def encode(self, photo: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The levels from full size to a sixteenth, of sides padded to a multiple of STRIDE."""
        if photo.dim() != 4 or photo.shape[1] != 3:
            raise ValueError(f"expected photos [N, 3, H, W], found {list(photo.shape)}")
        height, width = photo.shape[2:]
        x0 = self.fine(F.pad(photo, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate"))  # [N, W/2, H', W']
        x1 = self.down1(x0)  # [N, W, H'/2, W'/2]
        x2 = self.down2(x1)  # [N, 2W, H'/4, W'/4]
        x3 = self.down3(x2)  # [N, 4W, H'/8, W'/8]
        x4 = self.down4(x3)  # [N, 4W, H'/16, W'/16]
        return x0, x1, x2, x3, x4 + self.context(x4.mean(dim=(2, 3)))[:, :, None, None]


class UNet(JudgeNet):
    """A judge that gives an image: photo float [N, 3, H, W] in [-1, 1] -> float [N, outputs, H, W], not bounded."""

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__(width)
        half = max(width // 2, 1)
        self.up3 = convolution(8 * width, 4 * width)
        self.up2 = convolution(6 * width, 2 * width)
        self.up1 = convolution(3 * width, width)
        self.up0 = convolution(width + half, half)
        self.logits = nn.Conv2d(half, outputs, 1)

    def forward(self, photo: Tensor) -> Tensor:
        return self._levels(photo)[0]

    def observe(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """The output [N, outputs, H, W] and the features [N, D].

        These are activations (after batch norm and ReLU, hence not negative) averaged over the photo: `width`
        channels of the encoder at half resolution, which see 9 px and answer to edges, texture, noise and blur, and
        2 `width` channels of the decoder at a quarter, which see the whole photo and answer to what is in it.
        """
        output, texture, content = self._levels(photo)
        return output, torch.cat([averaged(texture), averaged(content)], dim=1)

    def _levels(self, photo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x0, x1, x2, x3, x4 = self.encode(photo)
        height, width = photo.shape[2:]
        y3 = self.up3(torch.cat((_double(x4), x3), dim=1))  # [N, 4W, H'/8, W'/8]
        y2 = self.up2(torch.cat((_double(y3), x2), dim=1))  # [N, 2W, H'/4, W'/4]
        y1 = self.up1(torch.cat((_double(y2), x1), dim=1))  # [N, W, H'/2, W'/2]
        y0 = self.up0(torch.cat((_double(y1), x0), dim=1))  # [N, W/2, H', W']
        return self.logits(y0)[:, :, :height, :width], x1, y2


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def averaged(level: Tensor) -> Tensor:
    """[N, C, h, w] -> float32 [N, C]."""
    return level.float().mean(dim=(2, 3))


def counted(values: Tensor) -> Tensor:
    """A number for each photo [N] as a reading that adds up: float64 [N, 2], on the CPU."""
    return torch.stack([values, torch.ones_like(values)], dim=1).double().cpu()


def average(total: Tensor) -> Tensor:
    """The mean of such numbers. total: sums [..., 2] -> [...]."""
    return total[..., 0] / total[..., 1]


def _double(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by 2; spelled out because interpolate's gradient is not deterministic on a GPU."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)
