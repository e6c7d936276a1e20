"""Networks whose state dicts have the names of the public CycleGAN-and-pix2pix code."""

import torch
from torch import nn


def norm_of(kind, channels):
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=kind == "instance_affine")


class Block(nn.Module):
    def __init__(self, channels, norm, dropout):
        super().__init__()
        bias = norm != "batch"
        layers = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_of(norm, channels),
            nn.ReLU(),
        ]
        layers += [nn.Dropout(0.5)] if dropout else []
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm_of(norm, channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv_block(x)


class Resnet(nn.Module):
    def __init__(self, ngf, blocks, norm, dropout=False, input_channels=3):
        super().__init__()
        bias = norm != "batch"
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(input_channels, ngf, 7, bias=bias), norm_of(norm, ngf), nn.ReLU()]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), norm_of(norm, 2 * width), nn.ReLU()]
        layers += [Block(4 * ngf, norm, dropout) for _ in range(blocks)]
        for width in (4 * ngf, 2 * ngf):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1, bias=bias),
                norm_of(norm, width // 2),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class Level(nn.Module):
    """A level of the UNet around the next deeper one (`inner`, None for the deepest)."""

    def __init__(self, outside, hidden, norm, inner, input_channels=None, outermost=False, dropout=False):
        super().__init__()
        bias, cin = norm != "batch", input_channels or outside
        down = nn.Conv2d(cin, hidden, 4, 2, 1, bias=bias)
        self.outermost = outermost
        width = hidden if inner is None else 2 * hidden
        if outermost:
            layers = [down, inner, nn.ReLU(), nn.ConvTranspose2d(width, outside, 4, 2, 1), nn.Tanh()]
        elif inner is None:
            up = nn.ConvTranspose2d(width, outside, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm_of(norm, outside)]
        else:
            up = nn.ConvTranspose2d(width, outside, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2), down, norm_of(norm, hidden), inner, nn.ReLU(), up, norm_of(norm, outside)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


class Unet(nn.Module):
    def __init__(self, ngf, levels, norm, dropout=False, input_channels=3):
        super().__init__()
        block = Level(8 * ngf, 8 * ngf, norm, None)
        for _ in range(levels - 5):
            block = Level(8 * ngf, 8 * ngf, norm, block, dropout=dropout)
        for width in (4 * ngf, 2 * ngf, ngf):
            block = Level(width, 2 * width, norm, block)
        self.model = Level(3, ngf, norm, block, input_channels, outermost=True)

    def forward(self, x):
        return self.model(x)
