"""Charts of the losses and the validation metrics of teacher, student and baseline."""

from dataclasses import dataclass

from understudy.errors import UserError
from understudy.graph import NETWORKS
from understudy.metrics.protocol import KID, L1_TO_INPUT, MIOU, TARGET_SHARE, on_validation
from understudy.report.curves import Chart, Points, chart
from understudy.report.gather import Run

LOSSES = {
    "recon": "Reconstruction: L1 to the photo",
    "gan": "Adversarial, generator",
    "d": "Adversarial, discriminator",
    "output": "Distillation: L1 to the teacher's output",
    "alignment": "Distillation: minus the kernel alignment",
    "relation": "Distillation: semantic relation",
    "feature": "Distillation: features",
}
READ = {
    MIOU: "mIoU on the validation split",
    L1_TO_INPUT: "L1 to the input, read back from the validation split's photos; lower is better",
    TARGET_SHARE: "Share of the validation split taken for the target domain",
}
VALIDATED = {on_validation(name): "KID on the validation split, lower is better" for name in KID.values()} | {
    on_validation(name): title for name, title in READ.items()
}


@dataclass(frozen=True)
class Charts:
    """notes: which networks have no line, and why."""

    charts: list[Chart]
    notes: list[str]


def loss_charts(run: Run) -> Charts:
    """A chart for each loss, with a line for each network that was trained with it."""
    lines, notes = _lines(run, "curves.csv")
    order = [*LOSSES, *lines]
    return Charts([chart(LOSSES.get(loss, loss), lines[loss]) for loss in sorted(lines, key=order.index)], notes)


def quality_charts(run: Run) -> Charts:
    """A chart for each validation metric, with a line for each network."""
    lines, notes = _lines(run, "validation.csv")
    # Other columns repeat these for `dvc plots`.
    shown = [chart(title, lines[metric], marked=True) for metric, title in VALIDATED.items() if metric in lines]
    return Charts(shown, notes)


def _lines(run: Run, file: str) -> tuple[dict[str, dict[str, Points]], list[str]]:
    """The points of every column by network, and why a network has none. Raises UserError when none has any."""
    lines: dict[str, dict[str, Points]] = {}
    notes = []
    for name, stage in NETWORKS.items():
        try:
            for column, points in run.table(f"artifacts/{stage}/{file}").items():
                lines.setdefault(column, {})[name] = points
        except UserError as error:
            notes.append(f"{error}.")
    if not lines:
        raise UserError(" ".join(notes).rstrip("."))
    return lines, notes
