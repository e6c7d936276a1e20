from torch import nn


class Generator(nn.Module):
    stride = 4  # height and width must be multiples of it
    taps = ("down", "blocks.1", "blocks.3")  # the modules whose output distillation compares
    middle = "blocks.1"  # the one of them for the semantic relation

    def __init__(self, input_channels: int) -> None:
        super().__init__()
        self.down = nn.Sequential(unit(input_channels, 24, 5), unit(24, 48, stride=2), unit(48, 96, stride=2))
        self.blocks = nn.Sequential(*(Block(96) for _ in range(4)))
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), unit(96, 48), nn.Upsample(scale_factor=2), unit(48, 24))
        self.image = nn.Conv2d(24, 3, 5, padding=2)

    def forward(self, x):
        return self.image(self.up(self.blocks(self.down(x)))).tanh()


class Block(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(unit(width, width), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x):
        return x + super().forward(x)


def unit(cin: int, cout: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU())
