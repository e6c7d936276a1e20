"""A picture of what pruning left: each width before and after, as one bar inside the other."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from understudy.arch.base import Arch
from understudy.arch.diff import compare

PAPER, INK, FAINT = (255, 255, 255), (38, 43, 51), (122, 130, 142)
BEFORE, AFTER, GONE = (226, 230, 236), (47, 111, 178), (200, 78, 60)
MARGIN, LABEL, CELL, BAR, ROW = 32, 76, 136, 14, 38  # pixels
TOP, TITLE, HEADING, GAP = 92, 24, 20, 22  # pixels: of the first table, its title and its headings, between two tables


def widths_picture(teacher: Arch, student: Arch, caption: str) -> Image.Image:
    """RGB image of the teacher's tables of widths, one below the other.

    The grey bar is the teacher's width, the blue one what the student kept; what was removed is marked in red. Each
    table has a scale of its own. student: pruned from `teacher`. caption: one line under the title.
    """
    tables = compare(teacher, student)
    columns = max(5, *(len(table.columns) for table in tables))
    height = TOP + sum(TITLE + HEADING + ROW * len(table.rows) + GAP for table in tables) + MARGIN // 2
    image = Image.new("RGB", (2 * MARGIN + LABEL + CELL * columns, height), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, 24), "Widths before and after pruning", INK, ImageFont.load_default(22))
    draw.text((MARGIN, 56), caption, FAINT, ImageFont.load_default(14))
    top = TOP
    for table in tables:
        draw.text((MARGIN, top), table.title.capitalize(), INK, ImageFont.load_default(14))
        top += TITLE
        _headings(draw, top, table.columns)
        scale = max((before for _, pairs in table.rows for before, _ in pairs), default=0) or 1
        for index, (name, pairs) in enumerate(table.rows):
            _row(draw, top + HEADING + ROW * index, name, pairs, scale)
        top += HEADING + ROW * len(table.rows) + GAP
    return image


def _headings(draw: ImageDraw.ImageDraw, y: int, names: Sequence[str]) -> None:
    for column, name in enumerate(names):
        draw.text((MARGIN + LABEL + CELL * column, y), name, FAINT, ImageFont.load_default(13))


def _row(draw: ImageDraw.ImageDraw, y: int, name: str, pairs: Sequence[tuple[int, int]], scale: int) -> None:
    """Bars for (before, after) widths, each as long as its share of `scale`, with the numbers below."""
    draw.text((MARGIN, y), name, INK, ImageFont.load_default(13))
    small = ImageFont.load_default(12)
    for column, (before, after) in enumerate(pairs):
        if not before:
            continue
        left, length = MARGIN + LABEL + CELL * column, CELL - 20
        draw.rectangle((left, y, left + round(length * before / scale), y + BAR), BEFORE)
        if after:
            draw.rectangle((left, y, left + round(length * after / scale), y + BAR), AFTER)
            draw.text((left, y + BAR + 2), f"{after} of {before}", INK, small)
        else:
            draw.rectangle((left, y, left + 2, y + BAR), GONE)
            draw.text((left, y + BAR + 2), f"removed ({before})", GONE, small)
