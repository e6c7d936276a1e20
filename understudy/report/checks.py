"""The data set and what was expected of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.files import read_json, sha256
from understudy.gate import DATASET
from understudy.report.gather import CHECKED, Run


@dataclass(frozen=True)
class Checks:
    """What check found. failed: rows (suite, expectation, what was found); suites: name -> how many were met."""

    expectations: int
    failed: Sequence[tuple[str, str, str]]
    suites: Mapping[str, int]
    results: Sequence[tuple[str, str, str, str]]
    stale: str


def checks(run: Run) -> Checks:
    """Every expectation on the data. check leaves no file when one is broken: then its status has the rows."""
    result = run.json(CHECKED)
    results = [
        (str(entry["suite"]), str(entry["name"]).replace("_", " "), _looked_at(entry),
         "met" if entry["success"] else "broken")
        for entry in result["results"]
    ]  # fmt: skip
    suites = {suite: sum(row[0] == suite for row in results) for suite in dict.fromkeys(row[0] for row in results)}
    about = ""
    for name, recorded in result["data"].items():
        path = run.root / "artifacts" / name
        if path.is_file() and sha256(path) != recorded:
            about = f"artifacts/{name} is not the file that was checked; `dvc repro check` checks this one."
    failed = [row[:3] for row in results if row[3] == "broken"]
    return Checks(len(results), failed, suites, results, about)


def _looked_at(entry: Mapping[str, Any]) -> str:
    if entry["checked"]:
        return f"{entry['unexpected']:,} of {entry['checked']:,} rows unexpected"
    return f"found {entry['observed']}" if entry["observed"] is not None else ""


def splits(run: Run) -> Mapping[str, Any]:
    """The data set: its name, licence, size, what its images are, and how many by split."""
    info = read_json(run.path(DATASET))
    height, width = info["size"]
    images = {"labels": f"label maps of {len(info['classes'])} classes, and their photos",
              "photos": "photos, and what they become", "unpaired": "photos of two domains, no pairs"}  # fmt: skip
    counts = {f"{split} pairs": f"{count:,}" for split, count in info["counts"].items()}
    if photos := info.get("photo_counts"):
        counts = {f"{split} inputs, photos": f"{count:,}, {photos[split]:,}" for split, count in info["counts"].items()}
    return {"name": str(info["name"]), "licence": str(info["licence"]), "size": f"{width} × {height} px",
            "images": images[info["kind"]], "counts": counts}  # fmt: skip
