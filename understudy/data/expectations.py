"""What prepared data must meet, as plain sentences about plain tables; who evaluates them is not known here."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.data.leakage import duplicates, near_duplicates
from understudy.data.prepared import DatasetInfo
from understudy.data.terms import SIDES, SPLITS, Kind, Side
from understudy.params.check import Check

Table = Mapping[str, Sequence[Any]]  # columns of one length, by name

WHOLE, FRACTION, SHA256 = r"^[1-9]\d*$", r"^[01]\.\d{6}$", r"^[0-9a-f]{64}$"
EMPTY = "^$"
FORMATS = {
    "name": r"\S",
    "path": r"\S",
    "split": rf"^(?:{'|'.join(SPLITS)})$",
    "side": rf"^(?:{'|'.join(SIDES)})$",
    "width": WHOLE,
    "height": WHOLE,
    "source_width": WHOLE,
    "source_height": WHOLE,
    "source_mode": r"\S",
    "label_mode": r"\S",
    "photo_sha256": SHA256,
    "label_sha256": SHA256,
    "brightness": FRACTION,
    "red": FRACTION,
    "green": FRACTION,
    "blue": FRACTION,
    "contrast": FRACTION,
    "dhash": r"^[0-9a-f]{16}$",
    "classes": r"^\d+(?: \d+)*$",
    "licence": r"\S",
}
OF_LABELS = ("label_mode", "label_sha256", "classes")  # empty where inputs are photos
TONE = [column for column, form in FORMATS.items() if form is FRACTION]
IDENTITY = ("split", "side", "name", "path")


@dataclass(frozen=True)
class Expectation:
    """One sentence about a table.

    name: unique in its suite. type: one of Great Expectations' built-in ones, such as
    `expect_column_values_to_be_null`; arguments: its own.
    """

    name: str
    type: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Suite:
    """What is expected of one table. identity: the columns that tell a reader which row is meant."""

    name: str
    table: Table
    identity: tuple[str, ...]
    expectations: tuple[Expectation, ...]


def rounds(manifest: Table, info: DatasetInfo, check: Check) -> Iterator[tuple[Suite, ...]]:
    """Suites in the order they can be asked: the columns, then the form of the cells, then what the cells mean.

    manifest: every cell as text. Each round is built only after the one before was met, so that one missing column is
    one message, not thirty.
    """
    yield (columns_suite(manifest),)
    yield (formats_suite(manifest, info.kind),)
    images = parse(manifest, info.kind)
    of_classes = (classes_suite(images, info, check),) if info.kind == "labels" else ()
    yield images_suite(images, info, check), splits_suite(images, info, check), *of_classes


def columns_suite(manifest: Table) -> Suite:
    names = {"column_list": list(FORMATS)}
    return Suite(
        "columns", manifest, (), (Expectation("columns", "expect_table_columns_to_match_ordered_list", names),)
    )


def formats_suite(manifest: Table, kind: Kind) -> Suite:
    formats = FORMATS if kind == "labels" else {**FORMATS, **dict.fromkeys(OF_LABELS, EMPTY)}
    expectations = [_expect(f"{column}_format", "match_regex", column, regex=form) for column, form in formats.items()]
    key = {"column_list": ["split", "side", "name"]}
    unique = Expectation("names_unique", "expect_compound_columns_to_be_unique", key)
    return Suite("formats", manifest, IDENTITY, (*expectations, unique))


def parse(manifest: Table, kind: Kind) -> Table:
    """The manifest with numbers for text, and of label maps the column `highest_class` that classes are checked by."""
    types: dict[str, type] = {WHOLE: int, FRACTION: float}
    images = {column: [types.get(FORMATS[column], str)(cell) for cell in manifest[column]] for column in FORMATS}
    if kind != "labels":
        return images
    return {**images, "highest_class": [max(map(int, classes.split())) for classes in manifest["classes"]]}


def images_suite(images: Table, info: DatasetInfo, check: Check) -> Suite:
    """What each image must be by itself, and the helper columns: the size it should have, and which image of another
    split it repeats."""
    height, width = info.size
    stored = [info.stored_size(split) for split in images["split"]]
    table = {
        **images,
        "stored_height": [size[0] for size in stored],
        "stored_width": [size[1] for size in stored],
        **_repeated(images, info.kind, check),
    }
    between, in_set, null = "be_between", "be_in_set", "be_null"
    of_labels = (
        _expect("label_mode", in_set, "label_mode", value_set=list(check.label_modes)),
        _expect("classes_known", between, "highest_class", max_value=info.num_classes - 1),
    )
    expectations = (
        _equal("width", "width", "stored_width"),
        _equal("height", "height", "stored_height"),
        _expect("source_width", between, "source_width", min_value=width / check.max_upscale),
        _expect("source_height", between, "source_height", min_value=height / check.max_upscale),
        _expect("photo_mode", in_set, "source_mode", value_set=list(check.photo_modes)),
        *(of_labels if info.kind == "labels" else ()),
        _expect("licence", in_set, "licence", value_set=[info.licence]),
        _expect("brightness", between, "brightness", min_value=check.brightness[0], max_value=check.brightness[1]),
        *(
            _expect(channel, between, channel, min_value=check.colour[0], max_value=check.colour[1])
            for channel in ("red", "green", "blue")
        ),
        _expect("contrast", between, "contrast", min_value=check.min_contrast, max_value=1.0),
        _expect("no_duplicate_across_splits", null, "duplicate", mostly=1 - check.max_repeated),
        _expect("no_near_duplicate_across_splits", null, "near_duplicate", mostly=1 - check.max_repeated),
    )
    return Suite("images", table, IDENTITY, expectations)


def _repeated(images: Table, kind: Kind, check: Check) -> dict[str, list[str | None]]:
    """For each image the one that it repeats in another split, or None: exactly, and nearly."""
    repeated: dict[str, list[str | None]] = {
        column: [None] * len(images["name"]) for column in ("duplicate", "near_duplicate")
    }
    for items in _compared(images, kind):
        splits, names = ([images[column][rows[0]] for rows in items] for column in ("split", "name"))
        pixels, hashes = (
            [tuple(images[column][row] for row in rows) for rows in items] for column in ("photo_sha256", "dhash")
        )
        tones = np.array([[images[column][row] for row in rows for column in TONE] for rows in items])  # [N, T]
        near = near_duplicates(
            splits, names, pixels, hashes, tones, check.near_duplicate_bits, check.near_duplicate_tone
        )
        for column, found in (("duplicate", duplicates(splits, names, pixels)), ("near_duplicate", near)):
            for rows, other in zip(items, found, strict=True):
                for row in rows:
                    repeated[column][row] = other
    return repeated


def _compared(images: Table, kind: Kind) -> Iterator[list[tuple[int, ...]]]:
    """Items that are compared with one another, as the rows of each.

    A pair of photos repeats another when both of its sides do: maps of open water are all alike, and what they are maps
    of is not. Without pairs each side is compared with itself.
    """
    if kind == "photos":
        pairs: dict[tuple[str, str], list[int]] = {}
        for row, name in enumerate(zip(images["split"], images["name"], strict=True)):
            pairs.setdefault(name, []).append(row)
        yield [tuple(rows) for rows in pairs.values() if len(rows) == len(SIDES)]
    else:
        for side in SIDES:
            yield [(row,) for row, of in enumerate(images["side"]) if of == side]


def splits_suite(images: Table, info: DatasetInfo, check: Check) -> Suite:
    """One row per split and side: images in the manifest, images that dataset.json declares, and the minimum."""
    sides: tuple[Side, ...] = ("photo",) if info.kind == "labels" else SIDES  # label maps have no rows
    found = Counter(zip(images["split"], images["side"], strict=True))
    rows = [(split, side, found[split, side], info.count(split, side), check.min_images[split])
            for split in SPLITS for side in sides]  # fmt: skip
    columns = ("split", "side", "images", "declared", "minimum")
    table = dict(zip(columns, zip(*rows, strict=True), strict=True))
    return Suite("splits", table, ("split", "side"), (
        _at_least_minimum("enough_images"), _equal("declared_images", "images", "declared"),
    ))  # fmt: skip


def classes_suite(images: Table, info: DatasetInfo, check: Check) -> Suite:
    """One row per split and class: pairs in which the class is seen, and the minimum."""
    rows = []
    for split in SPLITS:
        seen = [set(map(int, classes.split()))
                for classes, of in zip(images["classes"], images["split"], strict=True) if of == split]  # fmt: skip
        for index, name in enumerate(info.classes):
            if index != info.ignore:
                rows.append((split, name, sum(index in classes for classes in seen), check.min_class_images[split]))
    table = dict(zip(("split", "class", "images", "minimum"), zip(*rows, strict=True), strict=True))
    return Suite("classes", table, ("split", "class"), (_at_least_minimum("classes_covered"),))


def _equal(name: str, column: str, other: str) -> Expectation:
    return Expectation(name, "expect_column_pair_values_to_be_equal", {"column_A": column, "column_B": other})


def _at_least_minimum(name: str) -> Expectation:
    arguments = {"column_A": "images", "column_B": "minimum", "or_equal": True}
    return Expectation(name, "expect_column_pair_values_a_to_be_greater_than_b", arguments)


def _expect(name: str, ending: str, column: str, **arguments: object) -> Expectation:
    return Expectation(name, f"expect_column_values_to_{ending}", {"column": column, **arguments})
