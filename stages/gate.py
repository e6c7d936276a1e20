"""gate: whether the student meets its bar, and which of its exported files do.

Makes    artifacts/gate/verdict.json, whatever it says: the stage succeeds once it is written
Reads    artifacts/evaluate/evaluation.json and artifacts/export, and the files that they speak of, to know that they
         are still the same; params gate
Takes    a moment: no network is run, and neither torch nor a tracker is imported
Run      dvc repro gate, or python -m stages.gate [--params FILE] [--root DIR] [--dry-run]
Then     understudy gate: exits 0 if the student passed, 3 if it failed, 4 if the verdict cannot be read
"""

from understudy.export.record import read_record
from understudy.files import write_json
from understudy.gate import EVALUATION, judge, read_evaluation
from understudy.params.gate import Gate
from understudy.stage import Job, Plan, main
from understudy.verdict import headline

READS = (Gate,)


def plan(job: Job) -> Plan:
    rules = [f"{metric}.{rule}" for metric, rules in job.params(Gate).policy.items() for rule in rules]
    return {"evaluation": job.root / EVALUATION, "rules": len(rules), "expected time": "under a second"}


def run(job: Job) -> None:
    output = job.output("gate/verdict.json")
    # An old verdict must not outlive an evaluation that can no longer be judged.
    output.unlink(missing_ok=True)
    evaluation, digest = read_evaluation(job.root)
    verdict = judge(job.params(Gate), evaluation, digest, read_record(job.root, digest))
    write_json(output, verdict.plain())
    print(f"{headline(verdict)}; `understudy gate` tells it rule by rule")


if __name__ == "__main__":
    main("gate", READS, plan, run)
