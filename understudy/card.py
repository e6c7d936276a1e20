"""The model card: what a student is, what it was made of, how good it is, and what it is not for."""

from collections.abc import Mapping
from typing import Any

from understudy.data.terms import Kind
from understudy.metrics import protocol
from understudy.verdict import Verdict

ASKS: dict[Kind, str] = {
    "labels": "label maps, one class index a pixel",
    "photos": "photos",
    "unpaired": "photos",
}


def card(
    model: str,
    verdict: Verdict,
    evaluation: Mapping[str, Any],
    dataset: Mapping[str, Any],
    family: str,
    exports: tuple[str, ...],
    origin: Mapping[str, str],
) -> str:
    """Markdown.

    evaluation, dataset: evaluation.json and dataset.json as read. family: of the architecture. exports: formats that
    are registered with it. origin: as understudy/lineage.py finds it.
    """
    student, height_width = evaluation["models"]["student"], " x ".join(map(str, dataset["size"]))
    edges = " and the edges of instances" if dataset.get("edges") else ""
    names = ", ".join(dataset["classes"])
    counts = ", ".join(f"{count} to {split}" for split, count in dataset["counts"].items())
    lines = [
        f"# {model}",
        "",
        f"A small image-to-image generator ({family}), distilled from a larger teacher by Understudy. It turns "
        f"{ASKS[dataset['kind']]}{edges} into photos. Trained and measured at {height_width} pixels; other sizes work "
        "and were not measured.",
        "",
        "## Data",
        "",
        f"{dataset['name']}: {counts}. Licence: {dataset.get('licence') or 'not stated by the data set'}.",
        *([f"Classes: {names}."] if names else []),
        "",
        "## Metrics",
        "",
        f"On {evaluation.get('split', 'test')} images that neither training nor selection saw, with 95 % intervals "
        "over images. The name of a metric is its protocol: those by a judge compare students of these data with one "
        "another, and with nothing else.",
        "",
        "| metric | better | student | 95 % | teacher | baseline |",
        "|---|---|---|---|---|---|",
        *(_row(name, evaluation["models"]) for name in student if protocol.find(name)),
        "",
        f"Gate: {'passed' if verdict.passed else 'FAILED'}. Formats: {', '.join(('safetensors', *exports))}.",
        "",
        "## Limits",
        "",
        "- One training run: the intervals tell of the choice of test images, not of the seed.",
        "- It repeats what its data hold, and what they lack it cannot draw. Its images are not evidence of anything.",
        "- Inputs unlike the data above were not measured.",
        "",
        "## Origin",
        "",
        *(f"- {name}: `{value}`" for name, value in origin.items()),
        f"- data (test split): `{verdict.data_sha256}`",
        f"- judge: `{verdict.judge_sha256}`",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, models: Mapping[str, Mapping[str, Any]]) -> str:
    entry = models["student"][name]
    interval = f"{entry['low']:.4g} to {entry['high']:.4g}" if "low" in entry else ""
    others = [
        f"{models[other][name]['value']:.4g}" if name in models.get(other, {}) else ""
        for other in ("teacher", "baseline")
    ]
    return f"| {name} | {protocol.metric(name).better} | {entry['value']:.4g} | {interval} | {' | '.join(others)} |"
