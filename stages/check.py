"""check: Great Expectations on the manifest, before anything trains on the data.

Makes    artifacts/check/result.json, which training depends on: written only when every expectation is met
Reads    artifacts/prepare/{manifest.csv,dataset.json}; params check
Takes    8 s on two CPU cores, most of them to import Great Expectations
Run      dvc repro check, or python -m stages.check [--params FILE] [--root DIR] [--dry-run]
A failure ends with code 4, names the rows that broke an expectation, and leaves no result: nothing downstream runs.
Data Docs, passed or failed: .understudy/check/data_docs/index.html. Times are in there, so they are no output of DVC.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from understudy.adapters.gx import Expectation, Outcome, Suite, Validator
from understudy.data.pairs import DatasetInfo, load_info
from understudy.errors import DATA_FAILED, UserError
from understudy.files import write_json
from understudy.params.check import SPLITS, Check
from understudy.stage import Job, Plan, main

READS = (Check,)
SCHEMA = 1
SHOWN = 20  # rows printed for one expectation; all of them are counted

WHOLE, FRACTION, SHA256 = r"^[1-9]\d*$", r"^[01]\.\d{6}$", r"^[0-9a-f]{64}$"
FORMATS = {
    "name": r"\S",
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
WHOLE_COLUMNS = [column for column, form in FORMATS.items() if form is WHOLE]
TONE = [column for column, form in FORMATS.items() if form is FRACTION]


def plan(job: Job) -> Plan:
    info = load_info(job.input("prepare/dataset.json"))
    return {f"images.{split}": count for split, count in info.counts.items()}


def run(job: Job) -> None:
    result = job.output("check/result.json")
    result.unlink(missing_ok=True)  # of an earlier run without DVC: a failure must not leave it behind
    info = load_info(job.input("prepare/dataset.json"))
    manifest = read_manifest(job.input("prepare/manifest.csv"))
    validator = Validator(job.scratch / "data_docs")
    outcomes: list[Outcome] = []
    for suites in rounds(manifest, info, job.params(Check)):
        outcomes += validator.run(suites)
        if failed := [outcome for outcome in outcomes if not outcome.success]:
            raise UserError(_complaint(failed, len(outcomes), validator.index), DATA_FAILED)
    write_json(result, {
        "schema": SCHEMA,
        "expectations": len(outcomes),
        "results": [{"suite": o.suite, "name": o.name, "success": o.success, "checked": o.checked,
                     "unexpected": o.unexpected, "observed": o.observed} for o in outcomes],
    })  # fmt: skip
    print(f"check: {len(outcomes)} expectations met by {len(manifest)} pairs; Data Docs: {validator.index}")


def read_manifest(path: Path) -> pd.DataFrame:
    """Every cell as the text that stands in the file. Raises UserError when it is no table."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = list(csv.reader(stream, strict=True)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); run `dvc repro prepare`", DATA_FAILED) from error
    if not header:
        raise UserError(f"{path}: empty; run `dvc repro prepare`", DATA_FAILED)
    if ragged := [number for number, row in enumerate(rows, start=2) if len(row) != len(header)]:
        raise UserError(
            f"{path}: {len(header)} columns in the header, another number in {len(ragged)} rows, the first being "
            f"row {ragged[0]}; run `dvc repro prepare`",
            DATA_FAILED,
        )
    return pd.DataFrame(rows, columns=header, dtype=object)


def rounds(manifest: pd.DataFrame, info: DatasetInfo, check: Check) -> Iterator[tuple[Suite, ...]]:
    """Suites in the order they can be asked: the columns, then the form of the cells, then what the cells mean.

    Each round is built only after the one before was met, so that one missing column is one message, not thirty.
    """
    yield (columns_suite(manifest),)
    yield (formats_suite(manifest),)
    pairs = parse(manifest)
    yield pairs_suite(pairs, info, check), splits_suite(pairs, info, check), classes_suite(pairs, info, check)


def columns_suite(manifest: pd.DataFrame) -> Suite:
    names = {"column_list": list(FORMATS)}
    return Suite(
        "columns", manifest, (), (Expectation("columns", "expect_table_columns_to_match_ordered_list", names),)
    )


def formats_suite(manifest: pd.DataFrame) -> Suite:
    expectations = [_expect(f"{column}_format", "match_regex", column, regex=form) for column, form in FORMATS.items()]
    unique = Expectation("names_unique", "expect_compound_columns_to_be_unique", {"column_list": ["split", "name"]})
    return Suite("formats", manifest, ("split", "name"), (*expectations, unique))


def parse(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest with numbers for text (rows: pairs), and the column `highest_class` that classes are checked by."""
    pairs = manifest.astype(dict.fromkeys(WHOLE_COLUMNS, int) | dict.fromkeys(TONE, float))
    pairs["highest_class"] = [max(map(int, classes.split())) for classes in pairs["classes"]]
    return pairs


def pairs_suite(pairs: pd.DataFrame, info: DatasetInfo, check: Check) -> Suite:
    """What each pair must be by itself, and the two helper columns that say which pair of another split it repeats."""
    height, width = info.size
    table = pairs.assign(
        duplicate=duplicates(pairs),
        near_duplicate=near_duplicates(pairs, check.near_duplicate_bits, check.near_duplicate_tone),
    )
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
    return Suite("pairs", table, ("split", "name"), expectations)


def splits_suite(pairs: pd.DataFrame, info: DatasetInfo, check: Check) -> Suite:
    """One row per split: pairs in the manifest, pairs that dataset.json declares, and the minimum."""
    images = pairs["split"].value_counts()
    rows = [(split, int(images.get(split, 0)), info.counts.get(split, 0), check.min_images[split]) for split in SPLITS]
    table = pd.DataFrame(rows, columns=["split", "images", "declared", "minimum"])
    return Suite("splits", table, ("split",), (
        Expectation("enough_images", "expect_column_pair_values_a_to_be_greater_than_b",
                    {"column_A": "images", "column_B": "minimum", "or_equal": True}),
        Expectation("declared_images", "expect_column_pair_values_to_be_equal",
                    {"column_A": "images", "column_B": "declared"}),
    ))  # fmt: skip


def classes_suite(pairs: pd.DataFrame, info: DatasetInfo, check: Check) -> Suite:
    """One row per split and class: pairs in which the class is seen, and the minimum."""
    rows = []
    for split in SPLITS:
        seen = [set(map(int, classes.split())) for classes in pairs.loc[pairs["split"] == split, "classes"]]
        for index, name in enumerate(info.classes):
            if index != info.ignore:
                rows.append((split, name, sum(index in classes for classes in seen), check.min_class_images[split]))
    table = pd.DataFrame(rows, columns=["split", "class", "images", "minimum"])
    return Suite("classes", table, ("split", "class"), (
        Expectation("classes_covered", "expect_column_pair_values_a_to_be_greater_than_b",
                    {"column_A": "images", "column_B": "minimum", "or_equal": True}),
    ))  # fmt: skip


def duplicates(pairs: pd.DataFrame) -> list[str | None]:
    """For each pair one of another split with pixel for pixel the same photo, as `split/name`, or None."""
    first = pairs.drop_duplicates(["photo_sha256", "split"]).groupby("photo_sha256")[["split", "name"]]
    places = {sha: [tuple(place) for place in group.to_numpy()] for sha, group in first}
    return [
        next((f"{other}/{name}" for other, name in places[sha] if other != split), None)
        for sha, split in zip(pairs["photo_sha256"], pairs["split"], strict=True)
    ]


def near_duplicates(pairs: pd.DataFrame, bits: int, tone: float) -> list[str | None]:
    """For each pair the nearest of another split that shows nearly the same photo, as `split/name (n bits)`, or None.

    The difference hash sees only where an 8 x 8 picture grows brighter to the right, so scenes laid out alike can share
    most of it. Two photos are therefore near-duplicates only when their tone agrees too: brightness, contrast, red,
    green and blue, each within `tone`. Re-encoding, rescaling or light noise changes few bits and hardly any tone.
    Equal photos are left out: `duplicates` names them.
    """
    hashes = np.array([int(value, 16) for value in pairs["dhash"]], dtype=np.uint64)  # [N]
    tones = pairs[TONE].to_numpy()  # [N, 5]
    splits, names, photos = (pairs[column].to_numpy() for column in ("split", "name", "photo_sha256"))
    found: list[str | None] = []
    for i in range(len(pairs)):
        distance = np.bitwise_count(hashes ^ hashes[i])  # [N]
        candidates = np.flatnonzero((distance <= bits) & (splits != splits[i]))
        # Rounding to six decimals must not decide, hence the slack.
        alike = np.abs(tones[candidates] - tones[i]).max(axis=1, initial=0) <= tone + 1e-9
        twins = candidates[alike & (photos[candidates] != photos[i])]
        nearest = min(twins, key=lambda j: distance[j], default=None)
        found.append(None if nearest is None else f"{splits[nearest]}/{names[nearest]} ({distance[nearest]} bits)")
    return found


def _expect(name: str, ending: str, column: str, **arguments: object) -> Expectation:
    return Expectation(name, f"expect_column_values_to_{ending}", {"column": column, **arguments})


def _complaint(failed: list[Outcome], evaluated: int, docs: Path) -> str:
    """What broke, row by row, and where to look next."""
    lines = [f"{len(failed)} of {evaluated} expectations failed"]
    for outcome in failed:
        count = f"{outcome.unexpected} of {outcome.checked} rows" if outcome.checked else f"found {outcome.observed}"
        lines.append(f"  {outcome.suite}.{outcome.name}: {outcome.error or count}")
        for row in outcome.rows[:SHOWN]:
            lines.append("    " + "  ".join(f"{column}={value}" for column, value in row.items()))
        if len(outcome.rows) > SHOWN:
            lines.append(f"    and {len(outcome.rows) - SHOWN} more")
    lines.append(f"Data Docs: {docs}")
    lines.append("Mend the source and run `dvc repro prepare`, or change the bounds in section `check` of params.yaml.")
    return "\n".join(lines)


if __name__ == "__main__":
    main("check", READS, plan, run)
