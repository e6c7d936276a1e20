"""What an architecture costs, in closed form: multiply-accumulates of its convolutions in both conventions, parameters.

No network is built and torch is not imported, so that a search may ask thousands of times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from understudy.arch import Arch, InceptionArch

Convention = Literal["true", "legacy"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """One convolution at one image size. name: of the module that holds it. Sizes: (height, width) of its maps."""

    name: str
    cin: int
    cout: int
    kernel: int
    input_size: Size
    output_size: Size
    bias: bool
    groups: int = 1
    transposed: bool = False

    @property
    def weights(self) -> int:
        return self.cin * self.cout * self.kernel**2 // self.groups

    @property
    def macs_true(self) -> int:
        """Multiplications done: a transposed convolution uses its weights once for each input position."""
        height, width = self.input_size if self.transposed else self.output_size
        return self.weights * height * width

    @property
    def macs_legacy(self) -> int:
        """The literature's count, at the output size always: 4 times too much for a transposed one of stride 2."""
        height, width = self.output_size
        return self.weights * height * width


@dataclass(frozen=True)
class Cost:
    """macs_true, macs_legacy: for one image, convolutions only, biases and norms not counted. params: all of them."""

    macs_true: int
    macs_legacy: int
    params: int

    def macs(self, convention: Convention) -> int:
        return self.macs_true if convention == "true" else self.macs_legacy


def cost(arch: Arch) -> Cost:
    """The cost at the architecture's own size."""
    true = legacy = params = 0
    for conv in convolutions(arch):
        true += conv.macs_true
        legacy += conv.macs_legacy
        params += conv.weights + (conv.cout if conv.bias else 0)
    if arch.norm != "instance":  # scale and shift
        params += sum(2 * channels for _, channels in norms(arch))
    return Cost(true, legacy, params)


def convolutions(arch: Arch) -> Iterator[Convolution]:
    """Every convolution of the network, in the order of its modules."""
    size = arch.size
    full, half, quarter = size, (size[0] // 2, size[1] // 2), (size[0] // 4, size[1] // 4)
    bias, (first, second, trunk), (up_half, up_full) = arch.norm != "batch", arch.stem, arch.head
    yield Convolution("down.0.conv", arch.input_channels, first, 7, full, full, bias)
    yield Convolution("down.1.conv", first, second, 3, full, half, bias)
    yield Convolution("down.2.conv", second, trunk, 3, half, quarter, bias)
    for index in range(arch.num_blocks):
        name = f"blocks.{index}"
        if isinstance(arch, InceptionArch):
            for kind, kernel, hidden in arch.blocks[index].branches():
                branch = f"{name}.{kind}.{kernel}"
                outer = kernel if kind == "conv" else 1
                yield Convolution(f"{branch}.first", trunk, hidden, outer, quarter, quarter, bias)
                if kind == "depthwise":
                    yield Convolution(
                        f"{branch}.spatial", hidden, hidden, kernel, quarter, quarter, bias, groups=hidden
                    )
                yield Convolution(f"{branch}.second", hidden, trunk, outer, quarter, quarter, bias)
        else:
            yield Convolution(f"{name}.first", trunk, trunk, 3, quarter, quarter, bias)
            yield Convolution(f"{name}.second", trunk, trunk, 3, quarter, quarter, bias)
    yield Convolution("up.0.conv", trunk, up_half, 3, quarter, half, bias, transposed=True)
    yield Convolution("up.1.conv", up_half, up_full, 3, half, full, bias, transposed=True)
    yield Convolution("up.2.conv", up_full, arch.output_channels, 7, full, full, bias=True)


def norms(arch: Arch) -> Iterator[tuple[str, int]]:
    """Name and channels of every norm of the network."""
    for index, width in enumerate(arch.stem):
        yield f"down.{index}.norm", width
    for index in range(arch.num_blocks):
        name = f"blocks.{index}"
        if isinstance(arch, InceptionArch):
            branches = tuple(arch.blocks[index].branches())
            for kind, kernel, hidden in branches:
                yield f"{name}.{kind}.{kernel}.norm", hidden
                if kind == "depthwise":
                    yield f"{name}.{kind}.{kernel}.spatial_norm", hidden
            if branches:
                yield f"{name}.norm", arch.trunk
        else:
            yield f"{name}.first_norm", arch.trunk
            yield f"{name}.second_norm", arch.trunk
    for index, width in enumerate(arch.head):
        yield f"up.{index}.norm", width
