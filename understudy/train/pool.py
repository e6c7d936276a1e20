"""A memory of translations, so that a discriminator also judges older ones (Shrivastava et al. 2017, section 2.3; Zhu
et al., CycleGAN, section 4)."""

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Images [B, C, H, W] -> as many: each, once the pool is full, exchanged for an older one half of the time.

    size: images kept; 0 gives back what it is given. shape: (C, H, W). Draws from torch's global generator.
    """

    images: Tensor  # [size, C, H, W]
    filled: Tensor  # int64, how many are there

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        size, shown = len(self.images), images.clone()
        for index, image in enumerate(images):
            there = int(self.filled)
            if there < size:
                self.images[there] = image
                self.filled += 1
            elif size and torch.rand(()) < 0.5:
                place = int(torch.randint(size, ()))
                shown[index] = self.images[place]
                self.images[place] = image
        return shown
