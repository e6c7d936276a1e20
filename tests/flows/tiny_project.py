"""A project of three stages that take a moment each, in a bare git repository, with a DVC remote; the tools are real.

Each stage does what `endings.json` says of it: `well`, `bad data`, `fails`, `runs out of memory`; `teacher` trains for
STEPS steps with a checkpoint after each, and waits while there is a file `hold`; `gate` has a verdict that `passes` or
not.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path

from own_repository import commit, done, environment

STEPS = 6
STAGE = '''
"""A stage that does what endings.json says of it."""
import json, os, signal, sys, time
from dataclasses import asdict
from pathlib import Path
from understudy.errors import DATA_FAILED, OUT_OF_MEMORY, UserError
from understudy.files import read_json, write_json, write_text
from understudy.stage import main
from understudy.verdict import Finding, Verdict

STEPS = COUNT
name = sys.argv.pop(1)
ending = read_json(Path("endings.json")).get(name, "well")

def train(job):
    """A number that depends on every step; a checkpoint after each."""
    checkpoint = job.scratch / "checkpoint.json"
    state = read_json(checkpoint) if checkpoint.exists() else {"step": 0, "weight": 1}
    print(f"going on from step {state['step']}", flush=True)
    (job.scratch / "process").write_text(str(os.getpid()))
    while state["step"] < STEPS:
        time.sleep(float(os.environ.get("STEP_SECONDS", "0.05")))
        state = {"step": state["step"] + 1, "weight": (state["weight"] * 31 + 7) % 1000003}
        write_json(checkpoint, state)
        with (job.scratch / "steps.txt").open("a") as steps:
            steps.write(f"{state['step']}\\n")
        print(f"step {state['step']}", flush=True)
        while (job.scratch / "hold").exists():
            time.sleep(0.1)
    write_json(job.output("teacher/weights.json"), state)

def judge(job):
    passed = ending == "well"
    outcome = "passed" if passed else "failed"
    finding = Finding("miou", "min", outcome, f"miou: 0.4 {outcome}")
    verdict = Verdict(passed, (finding,), {"miou": {"min": 0.5}}, {"miou": 0.4}, "0" * 64, "1" * 64, "2" * 64, {})
    write_json(job.output("gate/verdict.json"), verdict.plain())

def run(job):
    if ending == "bad data":
        raise UserError("rows 3 and 4 are wrong", DATA_FAILED)
    if ending == "runs out of memory":
        raise UserError("CUDA out of memory; schedule.batch_size 8 fits", OUT_OF_MEMORY)
    if ending == "fails":
        raise RuntimeError("a bug")
    if name == "prepare":
        write_text(job.output("prepare/data.txt"), "data")
    elif name == "teacher":
        train(job)
    else:
        judge(job)

main(name, (), lambda job: {}, run)
'''.replace("COUNT", str(STEPS))
GRAPH = """stages:
  prepare:
    cmd: python own.py prepare
    deps: [own.py, "${prepare.source}"]
    params: [prepare]
    outs: [artifacts/prepare/data.txt]
  teacher:
    cmd: python own.py teacher
    deps: [own.py, artifacts/prepare/data.txt]
    outs: [artifacts/teacher/weights.json]
  gate:
    cmd: python own.py gate
    deps: [own.py, endings.json, artifacts/teacher/weights.json]
    outs:
      - artifacts/gate/verdict.json:
          cache: false
"""
COPIED = ("params.yaml", "datasets/street-scenes.yaml", "recipes/street-scenes.yaml", "recipes/street-scenes-unet.yaml")


class Project:
    """root: where its developer works. origin: the bare repository. remote: DVC's, a folder unless one is given."""

    def __init__(self, repo: Path, folder: Path, remote: str | None = None) -> None:
        self.repo, self.root, self.origin = repo, folder / "work", folder / "origin.git"
        self.workspaces = folder / "workspaces"
        for name in COPIED:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repo / name, self.root / name)
        (self.root / "own.py").write_text(STAGE)
        (self.root / "dvc.yaml").write_text(GRAPH)
        (self.root / ".gitignore").write_text("/.understudy/\n__pycache__/\n")
        (self.root / "endings.json").write_text("{}\n")
        done(self.root, "git", "init", "-q", "--initial-branch=main")
        (self.root / ".dvc").mkdir()
        (self.root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        lines = ["[core]", "analytics = false", "check_update = false", "autostage = true", "remote = store"]
        lines += ["['remote \"store\"']", f"url = {remote or folder / 'store'}"]
        (self.root / ".dvc/config").write_text("\n".join(lines) + "\n")
        done(self.root, "git", "init", "-q", "--bare", "--initial-branch=main", str(self.origin))
        done(self.root, "git", "remote", "add", "origin", str(self.origin))
        self.share()

    def share(self, **endings: str) -> None:
        """Commit and push everything, and what the stages are to do."""
        (self.root / "endings.json").write_text(json.dumps(endings) + "\n")
        commit(self.root, "work")
        done(self.root, "git", "push", "-q", "origin", "HEAD:main")

    def environment(self, **more: str) -> dict[str, str]:
        """For flows of this project."""
        named = {"UNDERSTUDY_REPOSITORY": str(self.origin), "UNDERSTUDY_WORKSPACES": str(self.workspaces)}
        return environment() | named | {"PYTHONPATH": str(self.repo)} | more

    def branches(self) -> list[str]:
        """The run branches on the remote."""
        said = done(self.root, "git", "ls-remote", "--heads", str(self.origin), "runs/*")
        return [line.split("refs/heads/")[1] for line in said.splitlines()]

    def log(self, branch: str) -> list[str]:
        """The subjects of a run branch's own commits, the last one first."""
        said = done(self.root, "git", f"--git-dir={self.origin}", "log", "--format=%s", f"main..{branch}")
        return said.splitlines()

    def file(self, branch: str, name: str) -> str:
        """A file of a run branch, as the remote has it."""
        return done(self.root, "git", f"--git-dir={self.origin}", "show", f"{branch}:{name}")

    def workspace(self, branch: str) -> Path:
        return self.workspaces / branch

    def steps(self, branch: str) -> list[int]:
        """The steps of its training that were taken in a run's workspace, in their order."""
        path = self.workspace(branch) / ".understudy/teacher/steps.txt"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def trained_once(self, branch: str) -> bool:
        """Whether the training came to its end and no step was taken twice.

        A step's line may be missing: it follows its checkpoint, and a signal may come between the two.
        """
        steps = self.steps(branch)
        return steps[-1:] == [STEPS] and steps == sorted(set(steps)) and len(steps) >= STEPS - 1


def undisturbed() -> dict[str, int]:
    """What a training ends with that nobody disturbed."""
    weight = 1
    for _ in range(STEPS):
        weight = (weight * 31 + 7) % 1000003
    return {"step": STEPS, "weight": weight}


def wait(condition, what: str, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def start(command: list[str], folder: Path, environment: dict[str, str], output: Path) -> subprocess.Popen:
    with output.open("a") as stream:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=stream,
                                stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
