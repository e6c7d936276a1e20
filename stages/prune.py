"""prune: the student's architecture, cut out of the trained teacher in one step for a budget (prune.budget).

Makes    artifacts/prune/: arch.json, inherited.safetensors (the surviving weights), diff.txt, widths.png, metrics.json;
         with a budget of milliseconds also .understudy/prune/latency.json, which is no output of the graph: it belongs
         to a machine and a moment
Reads    artifacts/teacher; params runtime (where latency is measured), prune
Takes    about a second, the search itself a few milliseconds; with a budget of milliseconds half a minute on a
         quiet machine, some ten timings; longer where the teacher takes more than 50 ms an image
Expect   the student's MACs or parameters at most, and usually within 3 % of, the budget; its latency within 10 %
Scores   norm scales where the teacher's norms have them, else the magnitude of its filters: see diff.txt
Method   one threshold on all scores, or one factor on every width (prune.method)
Run      dvc repro prune, or python -m stages.prune [--params FILE] [--root DIR] [--dry-run]
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.diff import diff
from understudy.cost import Cost, cost
from understudy.files import atomic, sha256, write_json, write_text
from understudy.params.prune import Prune
from understudy.params.runtime import Runtime
from understudy.prune import latency
from understudy.prune.latency import Measured
from understudy.prune.picture import widths_picture
from understudy.prune.scores import Scores, ranking, read_scores
from understudy.prune.selection import UNITS, Method, Selection, strongest_of
from understudy.prune.stopwatch import Stopwatch
from understudy.prune.surgery import cut, save_inherited
from understudy.prune.threshold import THRESHOLD
from understudy.prune.uniform import UNIFORM
from understudy.runtime import device, seed_everything, threads
from understudy.stage import Job, Plan, main
from understudy.train.partners import load_partners
from understudy.weights import load_generator

READS = (Runtime, Prune)
METHODS: Mapping[str, Method[Any]] = {"threshold": THRESHOLD, "uniform": UNIFORM}
NEAR = 0.9  # of a budget: what lands below it is told


def plan(job: Job) -> Plan:
    teacher, params = architecture.load(job.input("teacher/arch.json")), job.params(Prune)
    method = METHODS[params.method]
    size = "x".join(map(str, teacher.size))
    if params.budget.counted is None:
        macs = cost(teacher).macs_true
        where = f"{device(job.params(Runtime))}, {threads()} threads"
        return {
            "teacher": f"{macs / 1e9:.4g} GMACs (true) for one image of {size}; its latency is yet to be measured",
            "budget": f"{params.budget.latency_ms:g} ms for one image, the network alone, fp32 on {where}",
            "scores": ranking(teacher),
            "expected time": "half a minute; longer on a busy machine, and where the teacher takes more than 50 ms",
        }
    counted, budget = params.budget.counted
    method.require_reachable(teacher, budget, counted, params.min_width)
    scale, unit, _ = UNITS[counted]
    whole = cost(teacher).of(counted)
    return {
        "teacher": f"{whole / scale:.4g} {unit} for one image of {size}",
        "budget": f"{budget / whole:.1%} of it",
        "scores": ranking(teacher),
        "expected time": "about a second",
    }


def run(job: Job) -> None:
    params = job.params(Prune)
    teacher, net = load_generator(job.input("teacher/arch.json"), job.input("teacher/weights.safetensors"))
    weights = net.state_dict()
    scores, ranked = read_scores(weights, teacher), ranking(teacher)
    level = METHODS[params.method].level
    selection, measured = _chosen(job, teacher, weights, scores)
    before, after = cost(teacher), selection.cost
    chosen = f"scores: {ranked}\nmethod: {params.method}, {level} {selection.level:.4g}\n"
    table = f"{chosen}\n{diff(teacher, selection.arch)}\n{_cost_rows(before, after)}"
    architecture.save(selection.arch, job.output("prune/arch.json"))
    inherited = cut(weights, teacher, selection.arch, selection.kept, params.inherit)
    reverse = _reverse(job, teacher, selection.arch)
    save_inherited(inherited, params.inherit, job.output("prune/inherited.safetensors"), reverse)
    write_text(job.output("prune/diff.txt"), table)
    caption = (
        f"{before.macs_true / 1e9:.3g} to {after.macs_true / 1e9:.3g} GMACs, "
        f"{before.params / 1e6:.3g} to {after.params / 1e6:.3g} M parameters; "
        f"{params.method} pruning by {ranked}, {level} {selection.level:.4g}"
    )
    with atomic(job.output("prune/widths.png")) as temporary:
        widths_picture(teacher, selection.arch, caption).save(temporary)
    write_json(
        job.output("prune/metrics.json"),
        {
            "macs_true_g": after.macs_true / 1e9,
            "macs_legacy_g": after.macs_legacy / 1e9,
            "params_m": after.params / 1e6,
            "scores": ranked,
            level: selection.level,
            "times_fewer_macs_true": before.macs_true / after.macs_true,
            "times_fewer_macs_legacy": before.macs_legacy / after.macs_legacy,
            "times_fewer_params": before.params / after.params,
        },
    )
    print(table)
    _tell(job, selection, measured)


def _chosen(
    job: Job, teacher: Arch, weights: Mapping[str, Tensor], scores: Scores
) -> tuple[Selection, Measured | None]:
    """What stays of the teacher, and of a budget of milliseconds what was measured."""
    params = job.params(Prune)
    method = METHODS[params.method]
    if params.budget.counted is not None:
        counted, budget = params.budget.counted
        return method.select(teacher, scores, budget, counted, params.min_width), None
    assert params.budget.latency_ms is not None
    seed_everything(0)  # so that it is the kernels of the other stages, evaluate's among them, that are timed
    stopwatch = Stopwatch(teacher, weights, scores, device(job.params(Runtime)))
    ladder = method.ladder(teacher, scores, params.min_width)
    return latency.select(ladder, scores, params.budget.latency_ms, stopwatch, method.floor_text(params.min_width))


def _tell(job: Job, selection: Selection, measured: Measured | None) -> None:
    """How near the budget the student is, where its cost alone does not say so; and the record of what was measured."""
    record = job.scratch / "latency.json"
    if measured is not None:
        place = device(job.params(Runtime))
        files = {"artifacts/prune/arch.json": sha256(job.output("prune/arch.json"))}
        write_json(record, {"threads": threads(), "device": str(place), **asdict(measured), "files": files})
        print(
            f"latency: {measured.student_ms:.3g} ms, measured again, of {measured.budget_ms:g} ms (the teacher takes "
            f"{measured.teacher_ms:.3g} ms; {measured.timings} timings of {selection.evaluations} networks)"
        )
        return
    record.unlink(missing_ok=True)  # of another budget
    counted, budget = job.params(Prune).budget.counted or ("params", 0.0)
    own = selection.cost.of(counted)
    if own < NEAR * budget:
        scale, unit, _ = UNITS[counted]
        next_one = (
            "it is the teacher itself"
            if selection.wider is None
            else f"the next wider network has {selection.wider.of(counted) / scale:.6g}"
        )
        print(f"{own / scale:.6g} {unit} are {1 - own / budget:.0%} below the budget: {next_one}")


def _reverse(job: Job, teacher: Arch, student: Arch) -> dict[str, Tensor]:
    """What a student of a CycleGAN's other direction starts from: its teacher's strongest channels, as many as the
    forward student keeps, since both students have one architecture. Nothing where there is no other direction."""
    partners = load_partners(job.input("teacher/partners.json").parent, teacher)
    if partners.reverse is None:
        return {}
    weights = partners.reverse.state_dict()
    return cut(
        weights, teacher, student, strongest_of(read_scores(weights, teacher), student), job.params(Prune).inherit
    )


def _cost_rows(before: Cost, after: Cost) -> str:
    """The end of diff.txt: what both cost, and how many times less the student does."""
    rows = [f"{'':16}{'teacher':>16}{'student':>16}{'times fewer':>13}"]
    for name, old, new in (
        ("MACs (true)", before.macs_true, after.macs_true),
        ("MACs (legacy)", before.macs_legacy, after.macs_legacy),
        ("parameters", before.params, after.params),
    ):
        rows.append(f"{name:16}{old:16,}{new:16,}{old / new:13.1f}")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main("prune", READS, plan, run)
