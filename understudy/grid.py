"""Which images of a split are shown, and how they stand side by side: one column for each kind, one row for each image.

The report's page, the sheets that training logs and MLflow gets, and evaluate's samples.png all come from here.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from understudy.files import atomic

SHOWN = 8  # images of a split
GAP = 4  # pixels between two images and around the whole
MIN_CELL = 96  # pixels: smaller images are enlarged by a whole factor, so that a 64 px sample can be looked at
BACKGROUND, INK = (255, 255, 255), (40, 40, 40)


def spread(count: int) -> Tensor:
    """Indices int64 [n] of the images that are shown of `count` ones: at most SHOWN, from the first to the last."""
    return torch.linspace(0, count - 1, min(SHOWN, count)).long()


def cells(columns: Mapping[str, Tensor]) -> list[list[np.ndarray]]:
    """Rows of uint8 [H, W, 3], a cell for each column.

    columns: by title, uint8 [N, 3, H, W], all of one shape. Raises ValueError for another shape or type, or no image.
    """
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError("a grid needs at least one column and one row")
    count, _, height, width = next(iter(columns.values())).shape
    for title, images in columns.items():
        if images.dtype != torch.uint8 or images.shape != (count, 3, height, width):
            expected = f"uint8 {(count, 3, height, width)}"
            raise ValueError(f"column {title!r}: expected {expected}, found {images.dtype} {tuple(images.shape)}")
    turned = [images.permute(0, 2, 3, 1).numpy() for images in columns.values()]  # [N, 3, H, W] -> [N, H, W, 3]
    return [[images[index] for images in turned] for index in range(count)]


def write_grid(columns: Mapping[str, Tensor], path: Path) -> None:
    """Write images as one picture (format by the suffix of `path`), atomically. columns: as for `cells`.

    Small images are enlarged by a whole factor without smoothing: what is seen is what the network made.
    """
    rows, titles = cells(columns), list(columns)
    height, width = rows[0][0].shape[:2]
    scale = max(1, -(-MIN_CELL // min(height, width)))
    cell_height, cell_width = height * scale, width * scale
    font = ImageFont.load_default(size=14)
    lines = [_wrap(title, cell_width, font) for title in titles]
    top = GAP + max(len(entry) for entry in lines) * 18
    sheet = Image.new(
        "RGB", (GAP + len(titles) * (cell_width + GAP), top + len(rows) * (cell_height + GAP)), BACKGROUND
    )
    draw = ImageDraw.Draw(sheet)
    for column, entry in enumerate(lines):
        draw.text((GAP + column * (cell_width + GAP), GAP), "\n".join(entry), INK, font)
        for line, row in enumerate(rows):
            cell = Image.fromarray(row[column]).resize((cell_width, cell_height), Image.Resampling.NEAREST)
            sheet.paste(cell, (GAP + column * (cell_width + GAP), top + line * (cell_height + GAP)))
    with atomic(path) as temporary:
        sheet.save(temporary)


def _wrap(title: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """`title` broken at spaces into lines of at most `width` pixels; a single longer word stays whole."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
