"""What pruning changed, for a person: the widths of two architectures side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

from understudy.arch.base import Arch
from understudy.errors import UserError


@dataclass(frozen=True)
class Widths:
    """One table of widths. rows: a name, and (before, after) for each column; (0, 0) where there never was any.

    empty: what a row is that has lost every group.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    empty: str


def compare(teacher: Arch, student: Arch) -> list[Widths]:
    """Every width before and after, laid out as the teacher's family lays them out. student: pruned from `teacher`.

    Raises UserError when the two are of different families, which have no layers to pair.
    """
    if type(teacher) is not type(student):
        raise UserError(f"an architecture of family {student.family} cannot be compared with one of {teacher.family}")
    before, after = teacher.widths(), student.widths()
    return [
        Widths(
            table.title,
            table.columns,
            tuple(
                (name, tuple((before.get(group or "", 0), after.get(group or "", 0)) for group in groups))
                for name, groups in table.rows
            ),
            table.empty,
        )
        for table in teacher.tables()
    ]


def diff(teacher: Arch, student: Arch) -> str:
    """The same as text, after every other field that differs. Raises UserError as `compare` does."""
    tables = compare(teacher, student)
    lines = []
    for name in ("size", "encoding", "input_channels", "norm", "padding"):
        old, new = getattr(teacher, name, None), getattr(student, name, None)
        if old != new:
            lines.append(f"{name}: {old} -> {new}")
    for table in tables:
        lines += [*([""] if lines else []), *_rows(table)]
    return "\n".join(lines) + "\n"


def _rows(table: Widths) -> Iterator[str]:
    """A title, a row of headings, and a row with the share that was kept."""
    yield f"{table.title}, teacher -> student (. = removed)"
    yield f"{'':12}" + "".join(f"{column:>16}" for column in table.columns) + f"{'kept':>7}"
    for name, pairs in table.rows:
        before, after = (sum(widths) for widths in zip(*pairs, strict=True))
        cells = "".join(f"{_cell(*pair):>16}" for pair in pairs)
        kept = f"{after / before:7.0%}" if before else ""
        yield f"{name:12}{cells}{kept}" + ("" if after else f"  {table.empty}")


def _cell(before: int, after: int) -> str:
    return f"{before or '.'} -> {after or '.'}" if before or after else ""
