"""A picture of what pruning left: each width before and after, as one bar inside the other."""

from PIL import Image, ImageDraw, ImageFont

from understudy.arch import Block, InceptionArch

PAPER, INK, FAINT = (255, 255, 255), (38, 43, 51), (122, 130, 142)
BEFORE, AFTER, GONE = (226, 230, 236), (47, 111, 178), (200, 78, 60)
MARGIN, LABEL, CELL, BAR, ROW = 32, 76, 136, 14, 38  # pixels


def widths_picture(teacher: InceptionArch, student: InceptionArch, caption: str) -> Image.Image:
    """RGB image: stem and head in one row, then a row for each block with a column for each of the teacher's branches.

    The grey bar is the teacher's width, the blue one what the student kept; a removed branch is marked in red. Stem and
    head share a scale, and so do all branches. student: pruned from `teacher`. caption: one line under the title.
    """
    columns = sorted({(kind, kernel) for block in teacher.blocks for kind, kernel, _ in block.branches()})
    width = 2 * MARGIN + LABEL + CELL * max(5, len(columns))
    image = Image.new("RGB", (width, 192 + ROW * teacher.num_blocks + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, 24), "Widths before and after pruning", INK, ImageFont.load_default(22))
    draw.text((MARGIN, 56), caption, FAINT, ImageFont.load_default(14))

    ends = [f"stem.{i}" for i in range(3)] + [f"head.{i}" for i in range(2)]
    before, after = (*teacher.stem, *teacher.head), (*student.stem, *student.head)
    _headings(draw, 92, ends)
    _row(draw, 112, "", list(zip(before, after, strict=True)), max(before))

    top = 172
    _headings(draw, top, [f"{kind} {kernel}x{kernel}" for kind, kernel in columns])
    scale = max((hidden for block in teacher.blocks for _, _, hidden in block.branches()), default=1)
    for index, (old, new) in enumerate(zip(teacher.blocks, student.blocks, strict=True)):
        pairs = [(_width(old, kind, kernel), _width(new, kind, kernel)) for kind, kernel in columns]
        _row(draw, top + 20 + ROW * index, f"block {index}", pairs, scale)
    return image


def _headings(draw: ImageDraw.ImageDraw, y: int, names: list[str]) -> None:
    for column, name in enumerate(names):
        draw.text((MARGIN + LABEL + CELL * column, y), name, FAINT, ImageFont.load_default(13))


def _row(draw: ImageDraw.ImageDraw, y: int, name: str, pairs: list[tuple[int, int]], scale: int) -> None:
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


def _width(block: Block, kind: str, kernel: int) -> int:
    """Hidden width of a branch, 0 where the block has none."""
    return (block.conv if kind == "conv" else block.depthwise).get(str(kernel), 0)
