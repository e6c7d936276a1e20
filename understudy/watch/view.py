"""The view of a pipeline as lines of text: pure, so that what a terminal shows can be tested without one."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from understudy.graph import STAGES
from understudy.metrics.protocol import of_validation
from understudy.watch.stages import Stage, Training, Validation

NARROWEST = 40  # columns; a narrower window cuts lines off
LONGEST_BAR = 40
SILENT_SECONDS = 60.0  # without a record before it is said: a validation may take as long
NAMES = max(map(len, STAGES)) + 2  # columns of the stage's name
LABELS = 14  # columns of what a line of a training tells
STYLES = {"running": "32", "finished": "", "failed": "31", "stopped": "33", "not started": "2"}  # SGR codes by state


def render(stages: Sequence[Stage], now: float, width: int, colour: bool) -> list[str]:
    """Lines of at most `width` columns.

    now: seconds since the epoch, as in the logs. colour: whether to use ANSI codes; nothing is told by colour alone.
    """
    width = max(width, NARROWEST)
    lines: list[str] = []
    for stage in stages:
        lines.append(_headline(stage, width, colour))
        if stage.state in ("finished", "not started"):
            continue
        if stage.reason:
            lines += textwrap.wrap(stage.reason, width, initial_indent="  ", subsequent_indent="  ")
        if stage.training is not None:
            lines += _training(stage.training, now if stage.state == "running" else None, width)
    return lines


def _headline(stage: Stage, width: int, colour: bool) -> str:
    facts: list[str] = []
    if stage.state == "running":
        facts = [f"process {stage.pid}"]
    elif stage.state == "finished" and stage.training is not None:
        facts = [f"{stage.training.step} steps", *_bests(stage.training.validations)]
    room = width - NAMES - len(stage.state)
    while facts and sum(2 + len(fact) for fact in facts) > room:
        facts.pop()
    code = STYLES[stage.state] if colour else ""
    state = f"\x1b[{code}m{stage.state}\x1b[0m" if code else stage.state
    return "  ".join([f"{stage.name:{NAMES}}{state}", *facts])


def _training(training: Training, now: float | None, width: int) -> Iterator[str]:
    """now: None for a training that does not run any more."""
    yield _bar(training.step, training.steps, width)
    if now is not None:
        facts = [f"{training.rate:.1f} images/s"] if training.step else ["no step yet"]
        if (left := seconds_left(training, now)) is not None:
            facts.append(f"{duration(left)} left")
        if (silent := now - training.time) > SILENT_SECONDS:
            facts.append(f"last record {duration(silent)} ago")
        yield from _labelled("speed", facts, width)
    if training.losses:
        yield from _labelled("losses", [f"{name} {value:.4g}" for name, value in training.losses.items()], width)
    if training.validations:
        last = training.validations[-1]
        found = [f"{name} {value:.4g}" for name, value in last.metrics.items()]
        yield from _labelled("validation", [f"step {last.step}", *found], width)
        if bests := _bests(training.validations):
            yield from _labelled("best", bests, width)
    if training.picture is not None:
        yield from _labelled("samples", [str(training.folder / training.picture)], width)


def _bar(step: int, steps: int, width: int) -> str:
    if not steps:
        return f"  step {step}"
    done = min(step / steps, 1.0)
    numbers = f"{step:{len(str(steps))}} of {steps} steps {done:4.0%}"  # as wide from first to last, so that bars stay
    room = min(width - len(numbers) - 6, LONGEST_BAR)
    filled = int(done * room)
    return f"  [{'#' * filled}{'.' * (room - filled)}]  {numbers}"


def _labelled(label: str, facts: Sequence[str], width: int) -> list[str]:
    """A label, and beside it as many whole facts a line as fit; one that is too long for any stands below, broken."""
    lines = [f"  {label}".ljust(LABELS)]
    for fact in facts:
        gap = "   " if len(lines[-1]) > LABELS else ""
        if len(lines[-1]) + len(gap) + len(fact) <= width:
            lines[-1] += gap + fact
        elif LABELS + len(fact) <= width:
            lines.append(" " * LABELS + fact)
        else:
            lines += textwrap.wrap(fact, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return [line.rstrip() for line in lines]


def _bests(validations: Sequence[Validation]) -> list[str]:
    """The best value of each metric whose better direction is known, and its step."""
    found = []
    names: Mapping[str, None] = dict.fromkeys(name for validation in validations for name in validation.metrics)
    for name in names:
        metric = of_validation(name)
        if metric is not None:
            scored = [validation for validation in validations if name in validation.metrics]
            choose = max if metric.better == "higher" else min
            best = choose(scored, key=lambda validation: validation.metrics[name])
            found.append(f"{name} {best.metrics[name]:.4g} at {best.step}")
    return found


def seconds_left(training: Training, now: float) -> float | None:
    """Until the last step at the rate so far, counted down between records; None while it cannot be told."""
    if not (training.rate and training.batch_size and training.steps):
        return None
    left = (training.steps - training.step) * training.batch_size / training.rate
    return max(left - max(now - training.time, 0.0), 0.0)


def duration(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
