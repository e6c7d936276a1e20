"""How hard each loss pulls at a student: whether the weights of the arms can be compared.

A term whose gradient is a thousandth of the others' is off, whatever its weight says, and one of a hundred times theirs
is alone. After some steps of the arm `none` each arm's own terms are weighed on the same student and the same images:
the norm of their gradient over all of the generator's weights, as a share of that of the L1 to the ground truth. The
1x1 adapters of `features` are new here: once they have learned, its share is smaller.

Run      python -m benchmarks.bakeoff.gradients [--design street-scenes] [--steps 200] [--scratch DIR]
Takes    a minute on one CPU core, once a run of that design has made its data and teacher
"""

import argparse
import statistics
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.bakeoff.arms import ARMS, Arm
from benchmarks.bakeoff.designs import Design, designs
from benchmarks.bakeoff.questions import LOSSES
from benchmarks.bakeoff.runs import PARAMS, borrow, make_shared
from benchmarks.documents import row
from stages.distill import READS, session
from understudy.errors import UserError
from understudy.params.loader import load
from understudy.stage import Job
from understudy.train.one_way import OneWay
from understudy.train.session import Session
from understudy.train.state import set_learning_rate

BATCHES = 4  # that the norms are averaged over
SEED = 1


def main() -> None:
    known = designs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", choices=known, default=next(reversed(known)))
    parser.add_argument("--steps", type=int, default=200, help="of `none`, before anything is measured")
    parser.add_argument("--scratch", type=Path, default=Path(".understudy/bakeoff"), help="where the roots are kept")
    arguments = parser.parse_args()
    print(row(["arm", "gradient, of that of the ground truth's L1"]))
    print(row(["---", "---"]))
    for name, share in shares(known[arguments.design], arguments.steps, arguments.scratch).items():
        print(row([f"`{name}`", f"{share:.3g}"]))


def shares(design: Design, steps: int, scratch: Path) -> dict[str, float]:
    """By arm of a loss, the norm of its terms' gradient over that of the ground truth's L1, both with their weights."""
    none = opened(design, ARMS["none"], scratch)
    terms = {name: _game(opened(design, ARMS[name], scratch)).terms for name in LOSSES}
    for index in range(steps):
        set_learning_rate(none.state, none.setting.schedule)
        none.step(index)
    weights, arch = list(none.state.generator.parameters()), none.setting.arch
    taps = tuple(dict.fromkeys((*arch.taps, arch.middle)))
    norms: dict[str, list[float]] = {name: [] for name in (*LOSSES, "recon")}
    for index in range(steps, steps + BATCHES):
        batch = none.batch(index)
        fake, features = none.forward(none.state.generator, batch.inputs, taps=taps)
        for name, term in terms.items():
            losses = term(batch, fake, features, none.forward)
            norms[name].append(_norm(torch.stack(list(losses.values())).sum(), weights))
        recon = _game(none).weights.recon * F.l1_loss(fake, batch.photos)
        norms["recon"].append(_norm(recon, weights))
    whole = statistics.fmean(norms.pop("recon"))
    return {name: statistics.fmean(values) / whole for name, values in norms.items()}


def opened(design: Design, arm: Arm, scratch: Path) -> Session:
    """An arm's training, ready to start."""
    root = borrow(design, arm, SEED, make_shared(design, [arm], scratch)[arm.name], scratch / "opened")
    return session(Job("distill", root, load(root / PARAMS, READS)))


def _game(opened: Session) -> OneWay:
    update = opened.setting.update
    assert isinstance(update, OneWay)  # the designs are of pairs
    return update


def _norm(loss: Tensor, weights: list[torch.nn.Parameter]) -> float:
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return float(torch.stack([gradient.square().sum() for gradient in found if gradient is not None]).sum().sqrt())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"gradients: {error}")
