"""A verdict, which anybody can write, judged again from the evaluation that it speaks of."""

from collections.abc import Mapping
from typing import Any

from understudy.errors import DATA_FAILED, UserError
from understudy.gate import EVALUATION, judge
from understudy.params.gate import Gate
from understudy.verdict import PATH, Verdict

WORDS = {True: "PASSED", False: "FAILED"}


def judge_again(
    gate: Gate, evaluation: Mapping[str, Any], digest: str, record: Mapping[str, Any] | None, verdict: Verdict
) -> Verdict:
    """What the gate makes of an evaluation, in the gate's own words, once that is what `verdict` says too.

    gate: by the policy that the verdict must be of. evaluation, its digest, record: as `judge` takes them, but of any
    shape. Raises UserError with code DATA_FAILED when the verdict is another, or when nothing can be judged.
    """
    try:
        again = judge(gate, evaluation, digest, record)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{EVALUATION} cannot be judged ({type(error).__name__}: {error})", DATA_FAILED) from error
    if not again.says_as(verdict):
        said, found = WORDS[verdict.passed], WORDS[again.passed]
        differ = f"it says {said}, the gate says {found}" if said != found else f"both say {said}, of other numbers"
        raise UserError(
            f"{PATH} is not what the gate makes of {EVALUATION}: {differ}; was it edited? `dvc repro -sf gate` makes "
            "it again",
            DATA_FAILED,
        )
    return again
