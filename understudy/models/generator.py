"""How every generator is called: an image for a label map, and features on request."""

from collections.abc import Callable, Collection
from typing import overload

from torch import Tensor, nn

Keep = Callable[[str, Tensor], None]  # offers a feature by the name of its tap


class Generator(nn.Module):
    """net(x) -> image; net(x, taps) -> (image, features by tap name).

    x: [N, input_channels, H, W], H and W multiples of `stride`. image: [N, 3, H, W] in [-1, 1].
    taps: names of features, each [N, C, H', W']; a family says which it has.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    @overload
    def forward(self, x: Tensor) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, taps: Collection[str]) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(self, x: Tensor, taps: Collection[str] = ()) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Raises ValueError for a size that does not fit and for a tap that the network does not have.

        Without taps (an empty collection counts as none) only the image is returned.
        """
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(f"height and width must be multiples of {self.stride}, found {tuple(x.shape[-2:])}")
        features: dict[str, Tensor] = {}

        def keep(name: str, feature: Tensor) -> None:
            if name in taps:
                features[name] = feature

        image = self.translate(x, keep)
        if len(features) < len(set(taps)):
            raise ValueError(f"no such tap: {', '.join(sorted(set(taps) - set(features)))}")
        return (image, features) if taps else image

    def translate(self, x: Tensor, keep: Keep) -> Tensor:
        """The image. Every feature is offered to `keep` under its name, and must not be changed in place after that."""
        raise NotImplementedError
