"""What the page shows, part by part; render.py writes it as HTML. Whatever cannot be had becomes a sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.data.terms import INPUT_TITLES, PHOTO_TITLES
from understudy.errors import UserError
from understudy.files import write_text
from understudy.gate import DATASET, EVALUATION, STUDENT, TEST_SPLIT
from understudy.graph import NETWORKS
from understudy.report import checks, classes, provenance, summary, training, widths
from understudy.report.compare import Other, compare
from understudy.report.exports import exports_or_reason
from understudy.report.gather import CHECKED, Part, Run, part
from understudy.report.parameters import LOCK, PARAMS, parameters
from understudy.report.render import render
from understudy.verdict import PATH, counts

if TYPE_CHECKING:
    from torch import Tensor

    from understudy.report.samples import Samples

RELATED = ("teacher", "student")  # the networks whose relation is shown


@dataclass(frozen=True)
class Grid:
    """Images for the page. columns: their titles. rows: a name, and a `data:` address for each column."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, Sequence[str]]]
    size: tuple[int, int]
    notes: list[str] = field(default_factory=list)


def write_page(root: Path, output: Path, other: Other | None = None) -> None:
    """Write the report of the run in `root` to `output`, atomically. other: the run to compare it with.

    Whatever is missing or damaged is said on the page. Raises UserError when `root` holds no run at all, when `other`
    holds no metrics, or when the file cannot be written.
    """
    if not any((root / name).is_dir() for name in ("artifacts", ".understudy")):
        raise UserError(f"{root}: no run here (no artifacts/, no .understudy/); give its folder by --root")
    write_text(output, render(content(Run(root), other)))


def content(run: Run, other: Other | None) -> dict[str, Any]:
    """Everything that the template shows, by name."""
    verdict = part(run.verdict, PATH)
    samples = part(lambda: _samples(run), DATASET)
    tables = part(lambda: summary.evaluation_tables(run), EVALUATION)
    origin = provenance.origin(run)
    pictures = _then(samples, _grid, DATASET, TEST_SPLIT)
    return {
        "name": part(lambda: checks.splits(run)["name"], DATASET).content or run.root.resolve().name,
        "failures": [(failure, list(summary.reasons(failure.reason))) for failure in run.failures()],
        "verdict": verdict,
        "rules": _then(verdict, summary.rules, PATH),
        "counts": verdict.content and counts(verdict.content),
        "stale": part(lambda: summary.stale(run, verdict.content), EVALUATION).content if verdict.content else None,
        "headline": part(lambda: summary.headline(run), EVALUATION),
        "tables": tables,
        "exports": exports_or_reason(run),
        "comparison": other and compare(run, other),
        "other_pictures": other and _then(samples, lambda found: side_by_side(found, other),
                                          *(f"{name} at {other.name}" for name in STUDENT)),
        "pictures": pictures,
        "losses": part(lambda: training.loss_charts(run), "artifacts/teacher/curves.csv"),
        "quality": part(lambda: training.quality_charts(run), "artifacts/teacher/validation.csv"),
        "classes": part(lambda: classes.classes(run), EVALUATION),
        "models": classes.SHOWN_WITH,
        "widths": part(lambda: widths.widths(run), "artifacts/prune/arch.json"),
        "relation": _then(samples, lambda found: _relation(run, found),
                          *(f"artifacts/{NETWORKS[name]}/arch.json" for name in RELATED)),
        "checks": part(lambda: checks.checks(run), CHECKED),
        "splits": part(lambda: checks.splits(run), DATASET),
        "origin": origin,
        "parameters": part(lambda: parameters(run), LOCK, PARAMS),
        "commands": provenance.commands(run, origin["facts"]),
    }  # fmt: skip


def _then(found: Part, make: Callable[[Any], Any], source: str, *more: str) -> Part:
    """The part made of the content of another, or what kept that other from being made. source, more: as in `part`."""
    return part(lambda: make(found.content), source, *more) if found.content is not None else found


def _samples(run: Run) -> "Samples":
    run.path(DATASET)  # asked before torch is imported: a run that ended early is reported at once
    from understudy.report.samples import draw_samples

    return draw_samples(run)


def _grid(samples: "Samples") -> Grid:
    return _pictures(samples, samples.pictures, samples.notes)


def _pictures(samples: "Samples", columns: Mapping[str, "Tensor"], notes: Sequence[str]) -> Grid:
    from understudy.grid import cells
    from understudy.report.pictures import data_uri, note

    rows = [
        (
            name,
            [data_uri(cell, exact=title == INPUT_TITLES["labels"]) for title, cell in zip(columns, row, strict=True)],
        )
        for name, row in zip(samples.names, cells(columns), strict=True)
    ]
    size = samples.info.size
    return Grid(tuple(columns), rows, size, [*notes, *filter(None, [note(size)])])


def side_by_side(samples: "Samples", other: Other) -> Grid:
    """Both students' pictures of the same inputs. Raises UserError when the other's files cannot be had."""
    from understudy.report.samples import translate
    from understudy.weights import load_generator

    if absent := [other.absent[name] for name in STUDENT if name in other.absent]:
        raise UserError(f"The student's pictures at {other.name} are not shown: {absent[0]}")
    theirs = Run(other.root)
    if EVALUATION not in other.absent and (wrong := next(filter(None, map(theirs.differs, STUDENT)), "")):
        raise UserError(f"The student's pictures at {other.name} are not shown: {wrong}")
    arch, net = load_generator(*map(theirs.path, STUDENT))
    samples.info.require_fit(arch.input_channels, arch.encoding, f"the student at {other.name}")
    titles = (INPUT_TITLES[samples.info.kind], PHOTO_TITLES[samples.info.kind])
    columns = {title: samples.pictures[title] for title in titles}
    columns[f"student, {other.name}"] = translate(arch, net, samples.inputs, samples.info)[0]
    if "student" in samples.pictures:
        columns["student, this run"] = samples.pictures["student"]
    return _pictures(samples, columns, ())


def _relation(run: Run, samples: "Samples") -> Mapping[str, Any]:
    """The packed matrices, and what the script needs beside them. Raises UserError without teacher or student."""
    from understudy.report.relation import relations

    features = {name: samples.features[name] for name in RELATED if name in samples.features}
    if missing := next((name for name in RELATED if name not in features), None):
        raise UserError(f"There is no {missing} to show; `dvc repro {NETWORKS[missing]}` makes it")
    settings = part(lambda: _relation_settings(run), LOCK, PARAMS)
    centred = bool(settings.content["centred"]) if settings.content else True
    data = relations(features, centred)
    images = data["images"]
    return {"data": data, "names": samples.names[: len(images)], "settings": settings}


def _relation_settings(run: Run) -> Mapping[str, Any]:
    values = parameters(run).values
    return {key: values[f"distill.relation.{key}"] for key in ("weight", "centred")}
