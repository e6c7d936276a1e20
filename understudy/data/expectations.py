"""What prepared data must meet, as plain sentences about plain tables; who evaluates them is not known here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.data.leakage import duplicates, near_duplicates
from understudy.data.prepared import DatasetInfo
from understudy.data.terms import SPLITS
from understudy.params.check import Check

Table = Mapping[str, Sequence[Any]]  # columns of one length, by name

WHOLE, FRACTION, SHA256 = r"^[1-9]\d*$", r"^[01]\.\d{6}$", r"^[0-9a-f]{64}$"
FORMATS = {
    "name": r"\S",
    "path": r"\S",
    "split": rf"^(?:{'|'.join(SPLITS)})$",
    "width": WHOLE,
    "height": WHOLE,
    "source_width": WHOLE,
    "source_height": WHOLE,
    "source_mode": r"\S",
    "label_mode": r"\S",
    "photo_sha256": SHA256,  # both hashes are there: the pair is complete
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
TONE = [column for column, form in FORMATS.items() if form is FRACTION]
IDENTITY = ("split", "name", "path")


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
    yield (formats_suite(manifest),)
    pairs = parse(manifest)
    yield pairs_suite(pairs, info, check), splits_suite(pairs, info, check), classes_suite(pairs, info, check)


def columns_suite(manifest: Table) -> Suite:
    names = {"column_list": list(FORMATS)}
    return Suite(
        "columns", manifest, (), (Expectation("columns", "expect_table_columns_to_match_ordered_list", names),)
    )


def formats_suite(manifest: Table) -> Suite:
    expectations = [_expect(f"{column}_format", "match_regex", column, regex=form) for column, form in FORMATS.items()]
    unique = Expectation("names_unique", "expect_compound_columns_to_be_unique", {"column_list": ["split", "name"]})
    return Suite("formats", manifest, IDENTITY, (*expectations, unique))


def parse(manifest: Table) -> Table:
    """The manifest with numbers for text, and the column `highest_class` that classes are checked by."""
    kinds: dict[str, type] = {WHOLE: int, FRACTION: float}
    pairs = {
        column: [kinds.get(FORMATS[column], str)(cell) for cell in manifest[column]] for column in FORMATS
    }  # fmt: skip
    return {**pairs, "highest_class": [max(map(int, classes.split())) for classes in manifest["classes"]]}


def pairs_suite(pairs: Table, info: DatasetInfo, check: Check) -> Suite:
    """What each pair must be by itself, and the two helper columns that say which pair of another split it repeats."""
    height, width = info.size
    splits, names, photos = (pairs[column] for column in ("split", "name", "photo_sha256"))
    tones = np.array([pairs[column] for column in TONE]).T  # [T, N] -> [N, T]
    bits, tone = check.near_duplicate_bits, check.near_duplicate_tone
    table = {
        **pairs,
        "duplicate": duplicates(splits, names, photos),
        "near_duplicate": near_duplicates(splits, names, photos, pairs["dhash"], tones, bits, tone),
    }
    between, in_set, null = "be_between", "be_in_set", "be_null"
    expectations = (
        _expect("width", in_set, "width", value_set=[width]),
        _expect("height", in_set, "height", value_set=[height]),
        _expect("source_width", between, "source_width", min_value=width / check.max_upscale),
        _expect("source_height", between, "source_height", min_value=height / check.max_upscale),
        _expect("photo_mode", in_set, "source_mode", value_set=list(check.photo_modes)),
        _expect("label_mode", in_set, "label_mode", value_set=list(check.label_modes)),
        _expect("classes_known", between, "highest_class", max_value=info.num_classes - 1),
        _expect("licence", in_set, "licence", value_set=[info.licence]),
        _expect("brightness", between, "brightness", min_value=check.brightness[0], max_value=check.brightness[1]),
        *(
            _expect(channel, between, channel, min_value=check.colour[0], max_value=check.colour[1])
            for channel in ("red", "green", "blue")
        ),
        _expect("contrast", between, "contrast", min_value=check.min_contrast, max_value=1.0),
        _expect("no_duplicate_across_splits", null, "duplicate"),
        _expect("no_near_duplicate_across_splits", null, "near_duplicate"),
    )
    return Suite("pairs", table, IDENTITY, expectations)


def splits_suite(pairs: Table, info: DatasetInfo, check: Check) -> Suite:
    """One row per split: pairs in the manifest, pairs that dataset.json declares, and the minimum."""
    table = {
        "split": SPLITS,
        "images": [list(pairs["split"]).count(split) for split in SPLITS],
        "declared": [info.counts.get(split, 0) for split in SPLITS],
        "minimum": [check.min_images[split] for split in SPLITS],
    }
    declared = {"column_A": "images", "column_B": "declared"}
    return Suite("splits", table, ("split",), (
        _at_least_minimum("enough_images"),
        Expectation("declared_images", "expect_column_pair_values_to_be_equal", declared),
    ))  # fmt: skip


def classes_suite(pairs: Table, info: DatasetInfo, check: Check) -> Suite:
    """One row per split and class: pairs in which the class is seen, and the minimum."""
    rows = []
    for split in SPLITS:
        seen = [set(map(int, classes.split()))
                for classes, of in zip(pairs["classes"], pairs["split"], strict=True) if of == split]  # fmt: skip
        for index, name in enumerate(info.classes):
            if index != info.ignore:
                rows.append((split, name, sum(index in classes for classes in seen), check.min_class_images[split]))
    table = dict(zip(("split", "class", "images", "minimum"), zip(*rows, strict=True), strict=True))
    return Suite("classes", table, ("split", "class"), (_at_least_minimum("classes_covered"),))


def _at_least_minimum(name: str) -> Expectation:
    arguments = {"column_A": "images", "column_B": "minimum", "or_equal": True}
    return Expectation(name, "expect_column_pair_values_a_to_be_greater_than_b", arguments)


def _expect(name: str, ending: str, column: str, **arguments: object) -> Expectation:
    return Expectation(name, f"expect_column_values_to_{ending}", {"column": column, **arguments})
