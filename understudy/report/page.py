"""The page: one HTML file that holds everything it shows, and asks the network for nothing.

Its style and its script stand in it as they are in page.css and page.js; the content security policy names both by
their hashes and allows nothing else, so that no text out of a run can ever be run as code.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from understudy.errors import UserError
from understudy.files import write_text
from understudy.report import checks, classes, provenance, summary, training, widths
from understudy.report.compare import STUDENT, Other, compare
from understudy.report.gather import CHECKED, DATASET, EVALUATION, PARAMS, STAGES, Part, Run, part
from understudy.report.tables import counts
from understudy.verdict import PATH

if TYPE_CHECKING:
    from torch import Tensor

    from understudy.report.samples import Samples

GOOD, BAD = ("better", "passed", "met", "the same"), ("worse", "failed", "broken", "changed since", "not here")


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
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    write_text(output, render(content(Run(root), other)))


def content(run: Run, other: Other | None) -> dict[str, Any]:
    """Everything that the template shows, by name."""
    verdict = part(run.verdict, PATH)
    samples = part(lambda: _samples(run), DATASET)
    tables = part(lambda: summary.evaluation_tables(run), EVALUATION)
    origin = provenance.origin(run)
    pictures = _then(samples, _grid)
    return {
        "name": part(lambda: checks.splits(run)["name"], DATASET).content or run.root.resolve().name,
        "failures": [(failure, list(summary.reasons(failure.reason))) for failure in run.failures()],
        "verdict": verdict,
        "rules": _then(verdict, summary.rules),
        "counts": verdict.content and counts(verdict.content),
        "stale": part(lambda: summary.stale(run, verdict.content), EVALUATION).content if verdict.content else None,
        "headline": part(lambda: summary.headline(run), EVALUATION),
        "tables": tables,
        "comparison": other and compare(run, other),
        "other_pictures": other and _then(samples, lambda found: side_by_side(found, other)),
        "pictures": pictures,
        "losses": part(lambda: training.loss_charts(run), "artifacts/teacher/curves.csv"),
        "quality": part(lambda: training.quality_charts(run), "artifacts/teacher/validation.csv"),
        "classes": part(lambda: classes.classes(run), EVALUATION),
        "models": classes.SHOWN_WITH,
        "widths": part(lambda: widths.widths(run), "artifacts/prune/arch.json"),
        "relation": _then(samples, lambda found: _relation(run, found)),
        "checks": part(lambda: checks.checks(run), CHECKED),
        "splits": part(lambda: checks.splits(run), DATASET),
        "origin": origin,
        "parameters": part(lambda: provenance.parameters(run), PARAMS),
        "commands": provenance.commands(run, origin["facts"]),
    }


def _then(found: Part, make: Callable[[Any], Any]) -> Part:
    """The part made of the content of another, or what kept that other from being made."""
    return part(lambda: make(found.content)) if found.content is not None else found


def _samples(run: Run) -> "Samples":
    run.path(DATASET)  # asked before torch is imported: a run that ended early is reported at once
    from understudy.report.samples import draw_samples

    return draw_samples(run)


def _grid(samples: "Samples") -> Grid:
    return _pictures(samples, samples.pictures, samples.notes)


def _pictures(samples: "Samples", columns: Mapping[str, "Tensor"], notes: Sequence[str]) -> Grid:
    from understudy.report.pictures import data_uri, note

    rows = [
        (name, [data_uri(images[index].permute(1, 2, 0).numpy(), exact=title == "label map")
                for title, images in columns.items()])
        for index, name in enumerate(samples.names)
    ]  # fmt: skip
    size = samples.info.size
    return Grid(tuple(columns), rows, size, [*notes, *filter(None, [note(size)])])


def side_by_side(samples: "Samples", other: Other) -> Grid:
    """Both students' pictures of the same label maps. Raises UserError when the other's files cannot be had."""
    from understudy.report.samples import translate
    from understudy.weights import load_generator

    if absent := [other.absent[name] for name in STUDENT if name in other.absent]:
        raise UserError(f"The student's pictures at {other.name} are not shown: {absent[0]}")
    theirs = Run(other.root)
    if EVALUATION not in other.absent and (wrong := next(filter(None, map(theirs.differs, STUDENT)), "")):
        raise UserError(f"The student's pictures at {other.name} are not shown: {wrong}")
    arch, net = load_generator(*map(theirs.path, STUDENT))
    samples.info.require_fit(arch.input_channels, arch.encoding, f"the student at {other.name}")
    columns = {title: samples.pictures[title] for title in ("label map", "real photo")}
    columns[f"student, {other.name}"] = translate(arch, net, samples.maps, samples.info)[0]
    if "student" in samples.pictures:
        columns["student, this run"] = samples.pictures["student"]
    return _pictures(samples, columns, ())


def _relation(run: Run, samples: "Samples") -> Mapping[str, Any]:
    """The packed matrices, and what the script needs beside them. Raises UserError without teacher or student."""
    from understudy.report.relation import relations

    features = {name: samples.features[name] for name in ("teacher", "student") if name in samples.features}
    if len(features) < 2:
        missing = next(name for name in ("teacher", "student") if name not in features)
        raise UserError(f"There is no {missing} to show; `dvc repro {STAGES[missing]}` makes it")
    settings = part(lambda: run.params["distill"]["relation"], PARAMS)
    centred = bool(settings.content["centred"]) if settings.content else True
    data = relations(features, centred)
    images = data["images"]
    return {"data": data, "names": samples.names[: len(images)], "settings": settings}


def render(values: Mapping[str, Any]) -> str:
    """The page as HTML. values: from `content`."""
    folder = files("understudy.report")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("understudy.report", "."),
    )
    environment.filters |= {"tone": tone, "prose": prose}
    policy = (f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
              "base-uri 'none'; form-action 'none'")  # fmt: skip
    template = environment.get_template("page.html.jinja")
    return template.render(values, style=Markup(style), script=Markup(script), policy=policy).lstrip()


def tone(cell: str) -> str:
    """The class of a cell that says whether something is good: colour only repeats what the word says."""
    return "good" if cell.endswith(GOOD) else "bad" if cell.endswith(BAD) else ""


def prose(sentence: str) -> Markup:
    """A sentence as HTML, what stands in backticks as code. Everything in it is escaped."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:  # one backtick has no partner: none is taken for a mark
        return escape(sentence)
    marked = (Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts))
    return Markup("").join(marked)


def _hash(text: str) -> str:
    """A source of a content security policy: the SHA-256 of what stands between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
