"""The review of a branch as Markdown: one comment on its pull request, or a file beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from understudy.errors import DATA_FAILED, GATE_FAILED, OK, STALE
from understudy.graph import NETWORKS
from understudy.params.leaves import Change
from understudy.report.compare import Comparison
from understudy.report.parameters import shown
from understudy.report.tables import Table, markdown_text, verdict_table
from understudy.review import PolicyChange, Review

if TYPE_CHECKING:
    from understudy.adapters.branch import Branch

MARKER = "<!-- understudy review -->"  # the first line, by which the comment is found again
WORDS = {
    OK: "PASSED: the student meets its bar",
    GATE_FAILED: "FAILED: the student does not meet its bar",
    STALE: "STALE: the committed results are not those of this branch",
    DATA_FAILED: "NOT JUDGED: what was committed cannot be had, or not be believed",
}
NAMED = 12  # files or stages in a list; of more it says how many
CUT = 60_000  # characters; a comment on GitHub holds 65,536


@dataclass(frozen=True)
class Findings:
    """Everything that the comment tells. judges: changed files of the code that judges. comparison: None without one.

    samples: the names of the pictures that lie beside the file. notes: what could not be compared, and why.
    """

    branch: "Branch"
    review: Review
    policy: Sequence[PolicyChange]
    parameters: Sequence[Change]
    judges: Sequence[str]
    comparison: Comparison | None
    samples: Sequence[str]
    notes: Sequence[str]


def markdown(found: Findings, link: str | None) -> str:
    """link: where the folder with this file and its pictures can be had; None: they lie beside it."""
    text = "\n\n".join(_parts(found, link))
    if len(text) > CUT:
        text = f"{text[: text.rindex(chr(10), 0, CUT)]}\n\n…cut here; the whole is review.md{_where(link)}."
    return f"{text}\n"


def unreadable(reason: str) -> str:
    """When there is nothing to tell but why."""
    return f"{MARKER}\n## NOT REVIEWED\n\n{markdown_text(reason)}\n"


def _parts(found: Findings, link: str | None) -> Iterator[str]:
    branch, review = found.branch, found.review
    yield f"{MARKER}\n## {WORDS[review.code]}"
    yield (
        f"Commit {markdown_text(branch.name)} beside {markdown_text(branch.against)}, from which it parted at "
        f"{branch.base[:7]}."
    )
    yield from _warnings(found)
    yield "\n".join(_checks(found))
    yield _parameters(found.parameters, branch.against)
    if found.comparison:
        yield from _metrics(found.comparison)
    if review.verdict:
        yield verdict_table(review.verdict).markdown()
    if found.samples:
        yield f"Pictures: {', '.join(found.samples)}{_where(link)}."
    if found.notes:
        yield "\n".join(f"- {markdown_text(note)}" for note in found.notes)


def _warnings(found: Findings) -> Iterator[str]:
    """What a reviewer must not miss: that the branch is judged otherwise than before."""
    if found.policy:
        looser = sum(change.effect == "looser" for change in found.policy)
        lines = [f"> **Policy changed{', and asks for less' if looser else ''}:**"]
        lines += [f"> - {_policy(change)}" for change in found.policy]
        yield "\n".join(lines)
    if found.judges:
        yield f"> **The code that judges changed:** {_named(found.judges)}"


def _policy(change: PolicyChange) -> str:
    rule = f"gate.{markdown_text(change.rule)}"
    if change.before is None:
        said = f"{rule}: new, {markdown_text(shown(change.after))}"
    elif change.after is None:
        said = f"{rule}: removed, was {markdown_text(shown(change.before))}"
    else:
        said = f"{rule}: from {markdown_text(shown(change.before))} to {markdown_text(shown(change.after))}"
    return f"{said} (**{change.effect}**)" if change.effect == "looser" else f"{said} ({change.effect})"


def _checks(found: Findings) -> Iterator[str]:
    """A list of what was looked at."""
    review, other = found.review, markdown_text(found.branch.against)
    if review.stale:
        yield "- **dvc.lock is stale**: run `dvc repro`, then `dvc push`, and commit what changed. Out of date:"
        yield from (f"  - {stage}: {_named(reasons)}" for stage, reasons in review.stale.items())
    else:
        yield "- dvc.lock is fresh: `dvc repro` would run nothing"
    if review.missing:
        yield f"- **The remote lacks {len(review.missing)} files**: run `dvc push`. Missing: {_named(review.missing)}"
    elif not review.problem:
        yield "- every output is on the remote"
    if review.problem:
        yield f"- **No verdict**: {markdown_text(review.problem)}"
    if review.verdict:
        yield "- verdict.json is what the gate makes of the evaluation, judged again here"
        for name, export in review.verdict.exports.items():
            failures = markdown_text("; ".join(export.failures()))
            yield f"- export {name}: {'passed' if export.passed else f'failed: {failures}'}"
    if found.comparison:
        yield f"- the verdict where they parted: {markdown_text(found.comparison.verdicts[0])}"
    if behind := found.branch.behind:
        commits = f"{behind} commit{'s' if behind > 1 else ''}"
        yield f"- {other} has {commits} more by now: what a merge makes of both is not reviewed"


def _parameters(changes: Sequence[Change], against: str) -> str:
    if not changes:
        return "No parameter differs, the policy aside."
    rows = tuple((change.key, shown(change.before), shown(change.after)) for change in changes)
    return Table("Parameters that differ, the policy aside", ("", against, "this branch"), rows).markdown()


def _metrics(comparison: Comparison) -> Iterator[str]:
    """The student's table, and folded away those of the others in which something differs."""
    tables = dict(zip(NETWORKS, comparison.metrics, strict=True))
    yield tables.pop("student").markdown()
    differ = {name: table for name, table in tables.items() if any(row[-1] != "0" for row in table.rows)}
    if differ:
        inside = "\n\n".join(table.markdown() for table in differ.values())
        yield f"<details><summary>The {' and the '.join(differ)}</summary>\n\n{inside}\n\n</details>"
    if same := [name for name in tables if name not in differ]:
        yield f"The {' and the '.join(same)}: no metric differs."


def _named(names: Sequence[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(markdown_text, names[:NAMED])) + more


def _where(link: str | None) -> str:
    return f", [in the artifacts]({link})" if link else ", beside this file"
