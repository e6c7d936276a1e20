import numpy as np
import torch
from PIL import Image

from understudy.metrics.inception_scoring import at_size


def test_a_larger_training_split_is_brought_to_the_test_split_s_size():
    """Without a shift, and without what a smaller image cannot hold: as Pillow's bicubic filter does."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 8, 8, generator=random)
    photos = (torch.nn.functional.interpolate(coarse, (72, 72), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)
    found = at_size(photos, (64, 64))
    assert found.shape == (3, 3, 64, 64) and found.dtype == torch.uint8
    expected = torch.stack([_by_pillow(photo) for photo in photos])
    assert (found.int() - expected.int()).abs().max() <= 1
    assert at_size(found, (64, 64)) is found


def _by_pillow(photo: torch.Tensor) -> torch.Tensor:
    image = Image.fromarray(photo.permute(1, 2, 0).numpy()).resize((64, 64), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
