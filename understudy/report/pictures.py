"""Images as `data:` addresses, so that the page needs no other file: lossless where small, bounded where large."""

import base64
import io

import numpy as np
from PIL import Image

LOSSLESS = 160  # pixels of the longer side: up to it every pixel is kept as the network made it
LARGEST = 512  # pixels of the longer side of a shown image
QUALITY = 90  # of WebP, for images that are not lossless


def data_uri(photo: np.ndarray, exact: bool = False) -> str:
    """uint8 [H, W, 3] as a `data:` address. exact: never mixes colours, for label maps."""
    image = Image.fromarray(photo)
    longest = max(image.size)
    if longest > LARGEST:
        size = tuple(max(1, round(side * LARGEST / longest)) for side in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.NEAREST if exact else Image.Resampling.BOX)
    stream = io.BytesIO()
    kind = "png" if exact or longest <= LOSSLESS else "webp"
    if kind == "png":
        image.save(stream, "png", optimize=True)
    else:
        image.save(stream, "webp", quality=QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def note(size: tuple[int, int]) -> str:
    """What was done to images of `size` (H, W) for the page; empty where nothing was."""
    if max(size) <= LOSSLESS:
        return ""
    smaller = f", at most {LARGEST} px" if max(size) > LARGEST else ""
    return f"Photos are compressed for this page (WebP, quality {QUALITY}{smaller}); what was scored is not."
