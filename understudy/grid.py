"""Pictures for people: images of one size side by side, with a title above each column."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from understudy.files import atomic

GAP = 4  # pixels between two images and around the whole
MIN_CELL = 96  # pixels: smaller images are enlarged by a whole factor, so that a 64 px sample can be looked at
BACKGROUND, INK = (255, 255, 255), (40, 40, 40)


def grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], path: Path) -> None:
    """Write a grid of images as one picture (format by the suffix of `path`), atomically.

    rows: per row one uint8 array [H, W, 3] for each title, all of one size; at least one row. titles: of the columns.
    Small images are enlarged by a whole factor without smoothing: what is seen is what the network made.
    Raises ValueError when an array has another shape or type, or a row another length.
    """
    if not rows or not titles:
        raise ValueError("a grid needs at least one row and one column")
    height, width = rows[0][0].shape[:2] if rows[0] else (0, 0)
    for index, row in enumerate(rows):
        if len(row) != len(titles):
            raise ValueError(f"row {index} has {len(row)} images for {len(titles)} titles")
        for image in row:
            if image.dtype != np.uint8 or image.shape != (height, width, 3):
                raise ValueError(f"row {index}: expected uint8 {(height, width, 3)}, found {image.dtype} {image.shape}")
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
