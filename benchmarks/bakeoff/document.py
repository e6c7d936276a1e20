"""What docs/bakeoff.md shows of a design: a table and a plot for each question, or what command would make them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bakeoff.arms import ARMS
from benchmarks.bakeoff.designs import Design
from benchmarks.bakeoff.plots import plot
from benchmarks.bakeoff.questions import QUESTIONS, Question, Results
from benchmarks.bakeoff.tables import arm_list, table
from benchmarks.documents import embed
from benchmarks.headings import heading, metrics_of, number
from understudy.files import read_json, write_text

DOCUMENT, PLOTS = Path("docs/bakeoff.md"), Path("docs/bakeoff")
ARM_LIST = "bakeoff-arms"


def tell(design: Design, seeds: Sequence[int]) -> int:
    """Bring the document up to date with the results that are there, and count them. seeds: that the bake-off has."""
    results = design.results(ARMS.values())
    for name, text in sections(design, seeds, results).items():
        embed(name, text, [DOCUMENT])
    embed(ARM_LIST, arm_list(), [DOCUMENT])
    for question in QUESTIONS.values():
        path = _picture(question, design)
        if _answered(question, results):
            write_text(path, f"{plot(question, results)}\n")
        else:
            path.unlink(missing_ok=True)
    return sum(map(len, results.values()))


def sections(design: Design, seeds: Sequence[int], results: Results) -> dict[str, str]:
    """Texts by the name of their place in the document."""
    return {
        f"bakeoff-{question.name}-{design.name}": _section(question, design, seeds, results)
        for question in QUESTIONS.values()
    }


def _section(question: Question, design: Design, seeds: Sequence[int], results: Results) -> str:
    command = f"python -m benchmarks.bakeoff --questions {question.name} --designs {design.name}"
    had = {arm: [result["seed"] for result in results.get(arm, ())] for arm in question.arms}
    lacking = sum(seed not in had[arm] for arm in question.arms for seed in seeds)
    missing = f"Missing: {lacking} of {len(question.arms) * len(seeds)} runs." if lacking else ""
    if not _answered(question, results):
        return f"No results yet. {missing} `{command}` makes them.\n"
    shown = [result for arm in question.arms for result in results.get(arm, ())]
    picture = f"![{question.title}]({_picture(question, design).relative_to(DOCUMENT.parent)})"
    parts = [table(question, results).rstrip("\n"), picture, " ".join(filter(None, (
        _teacher(design, shown[0]), missing, _origin(shown, command))))]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _answered(question: Question, results: Results) -> bool:
    return any(results.get(arm) for arm, _ in question.pairs)


def _picture(question: Question, design: Design) -> Path:
    return PLOTS / f"{question.name}-{design.name}.svg"


def _teacher(design: Design, shown: Mapping[str, Any]) -> str:
    """The teacher's own numbers, where they are of the teacher of these results."""
    if not design.teacher_result.exists():
        return ""
    told = read_json(design.teacher_result)
    if told["origin"]["teacher"] != shown["origin"]["teacher"]:
        return ""
    named = [name for name in metrics_of(told) if name in told["metrics"]]
    scores = ", ".join(f"{heading(name)} {number(told['metrics'][name]['value'], name)}" for name in named)
    return f"The teacher, of {told['costs']['macs_true_g']:.4g} GMACs: {scores}."


def _origin(shown: Sequence[Mapping[str, Any]], command: str) -> str:
    dates = sorted(result["date"] for result in shown)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    hardware = "; ".join(sorted({result["hardware"] for result in shown}))
    versions = ", ".join(sorted({result["torch"] for result in shown}))
    return f"Made by `{command}` on {when}; {hardware}; torch {versions}."
