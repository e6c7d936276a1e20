"""prune: the student's architecture, cut out of the trained teacher in one step for a budget of multiply-accumulates.

Makes    artifacts/prune/: arch.json, inherited.safetensors (the surviving weights), diff.txt, widths.png, metrics.json
Reads    artifacts/teacher; params prune
Takes    about a second; the search itself a few milliseconds
Expect   the student's cost in the chosen convention at most, and usually within 3 % of, the budget
Scores   norm scales where the teacher's norms have them, else the magnitude of its filters: see diff.txt
Method   one threshold on all scores, or one factor on every width (prune.method)
Run      dvc repro prune, or python -m stages.prune [--params FILE] [--root DIR] [--dry-run]
"""

from torch import Tensor

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.diff import diff
from understudy.cost import Cost, cost
from understudy.files import atomic, write_json, write_text
from understudy.params.prune import Prune
from understudy.prune import threshold, uniform
from understudy.prune.picture import widths_picture
from understudy.prune.scores import ranking, read_scores
from understudy.prune.selection import strongest
from understudy.prune.surgery import cut, save_inherited
from understudy.stage import Job, Plan, main
from understudy.train.partners import load_partners
from understudy.weights import load_generator

READS = (Prune,)
METHODS = {"threshold": (threshold, "threshold"), "uniform": (uniform, "factor")}  # and what its level is called


def plan(job: Job) -> Plan:
    teacher, params = architecture.load(job.input("teacher/arch.json")), job.params(Prune)
    method, _ = METHODS[params.method]
    method.require_reachable(teacher, params.macs_budget_g * 1e9, params.convention, params.min_width)
    macs = cost(teacher).macs(params.convention)
    return {
        "teacher": f"{macs / 1e9:.4g} GMACs ({params.convention}) for one image of {teacher.size[0]}x{teacher.size[1]}",
        "budget": f"{params.macs_budget_g * 1e9 / macs:.1%} of it",
        "scores": ranking(teacher),
        "expected time": "about a second",
    }


def run(job: Job) -> None:
    params = job.params(Prune)
    teacher, net = load_generator(job.input("teacher/arch.json"), job.input("teacher/weights.safetensors"))
    weights = net.state_dict()
    scores, ranked = read_scores(weights, teacher), ranking(teacher)
    method, level = METHODS[params.method]
    selection = method.select(teacher, scores, params.macs_budget_g * 1e9, params.convention, params.min_width)
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


def _reverse(job: Job, teacher: Arch, student: Arch) -> dict[str, Tensor]:
    """What a student of a CycleGAN's other direction starts from: its teacher's strongest channels, as many as the
    forward student keeps, since both students have one architecture. Nothing where there is no other direction."""
    partners = load_partners(job.input("teacher/partners.json").parent, teacher)
    if partners.reverse is None:
        return {}
    weights, widths = partners.reverse.state_dict(), student.widths()
    kept = {name: strongest(values, widths.get(name, 0)) for name, values in read_scores(weights, teacher).items()}
    return cut(weights, teacher, student, kept, job.params(Prune).inherit)


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
