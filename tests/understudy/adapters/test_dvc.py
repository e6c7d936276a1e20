"""The lists of code in dvc.yaml, and `dvc repro` in a tiny repository whose stages fail or are stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import control_groups
import own_repository
import pytest
import torch
import yaml
from processes_in import processes_in

from understudy.adapters.dvc import is_code, stage_module, write_dependencies
from understudy.data.terms import KINDS
from understudy.errors import UserError
from understudy.files import read_json, write_text
from understudy.grid import write_grid
from understudy.imports import closure
from understudy.locks import held
from understudy.metrics.protocol import KID, READINGS, on_validation
from understudy.train.log import write_table
from understudy.train.session import CURVES

SOURCES = {
    "stages/make.py": "import understudy.deep.one\nfrom understudy import two\nimport json, torch\n",
    "stages/other.py": "def f():\n    from understudy.deep.one import thing\n",
    "understudy/__init__.py": "",
    "understudy/two.py": "import understudy.three as three\n",
    "understudy/three.py": "import understudy.two\n",  # a circle
    "understudy/deep/__init__.py": "",
    "understudy/deep/one.py": "thing = 1\n",
    "understudy/unused.py": "",
}


@pytest.fixture
def tree(tmp_path) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_closure_follows_every_form_of_import_and_ends_in_a_circle(tree):
    assert closure("stages.make", tree) == [
        "stages/make.py", "understudy/deep/one.py", "understudy/three.py", "understudy/two.py"]  # fmt: skip
    assert closure("stages.other", tree) == ["stages/other.py", "understudy/deep/one.py"]
    assert closure("stages.none", tree) == []


def test_a_command_names_its_module_or_is_refused():
    assert stage_module("python -m stages.prune") == "stages.prune"
    for command in ("python stages/prune.py", "python -m stages.prune --params x", "python -m understudy.cli"):
        with pytest.raises(UserError, match=r"dvc\.yaml: a stage's cmd is"):
            stage_module(command)


def test_code_is_told_from_data():
    assert is_code("understudy/files.py") and not is_code("artifacts/prepare/train.zip") and not is_code("${a.b}")


def test_the_lists_are_rewritten_and_everything_else_is_kept(tree):
    text = """# The graph.
stages:
  make:
    desc: "Makes it" # why
    cmd: python -m stages.make
    deps:
      - stages/make.py
      - understudy/unused.py
      - ${prepare.source}
      - artifacts/a.zip
    outs:
      - artifacts/b:
          cache: false
  other:
    cmd: python -m stages.other
    deps:
      - stages/other.py
      - understudy/deep/one.py
"""
    path = tree / "dvc.yaml"
    path.write_text(text)
    assert write_dependencies(tree) == ["make"]
    code = "".join(f"      - {name}\n" for name in closure("stages.make", tree))
    assert path.read_text() == text.replace("      - stages/make.py\n      - understudy/unused.py\n", code)
    before = path.stat().st_mtime_ns
    assert write_dependencies(tree) == [] and path.stat().st_mtime_ns == before


def test_the_shipped_lists_come_out_as_they_are(repo, tmp_path):
    for folder in ("stages", "understudy"):
        shutil.copytree(repo / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load((repo / "dvc.yaml").read_text())
    shutil.copy(repo / "dvc.yaml", tmp_path / "dvc.yaml")
    spoilt = (tmp_path / "dvc.yaml").read_text().replace("      - understudy/files.py\n", "", 1)
    (tmp_path / "dvc.yaml").write_text(spoilt)
    assert write_dependencies(tmp_path) == ["prepare"]
    assert (tmp_path / "dvc.yaml").read_text() == (repo / "dvc.yaml").read_text()
    assert yaml.safe_load((tmp_path / "dvc.yaml").read_text()) == document


STAGE = '''
"""A stage that does what its parameter says."""
import signal, sys, time
from dataclasses import dataclass
from pathlib import Path
from understudy import memory
from understudy.errors import PREEMPTED, UserError
from understudy.files import write_text
from understudy.stage import main

@dataclass(frozen=True)
class Own:
    ending: str

def run(job):
    ending = job.params(Own).ending
    if ending == "fails":
        raise UserError("rows 3 and 4 are wrong", 4)
    if ending == "takes too much":
        memory.leave_note(job.scratch, "own.schedule.micro_batch: 4 should fit")
        block = bytearray(2**31)
        block[::4096] = b"1" * len(block[::4096])
    if ending == "is killed":
        signal.raise_signal(signal.SIGKILL)
    if ending == "waits":
        received = []
        signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
        Path("waiting").touch()
        while not received:
            time.sleep(0.05)
        time.sleep(1)  # saves its state
        raise UserError("stopped with its state saved", PREEMPTED)
    write_text(job.output("own/out.txt"), ending)

main("own", (Own,), lambda job: {}, run)
'''
GRAPH = """stages:
  own:
    cmd: python own.py
    params: [own]
    outs: [artifacts/own/out.txt]
"""
REPRO = """
import sys
from pathlib import Path
from understudy.adapters.dvc import repro
from understudy.errors import UserError
try:
    repro(Path("."))
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.code)
"""


class Repository:
    """A repository of one stage. `start` runs the adapter's `repro` as a process of its own."""

    def __init__(self, root: Path, repo: Path) -> None:
        self.root = root
        self.place = {**os.environ, "PYTHONPATH": str(repo), "DVC_NO_ANALYTICS": "true"}
        (root / "own.py").write_text(STAGE)
        (root / "dvc.yaml").write_text(GRAPH)
        (root / ".dvc").mkdir()
        (root / ".dvc/config").write_text(
            "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
        )

    def start(self, ending: str, first: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """first: called in the new process."""
        (self.root / "params.yaml").write_text(f"own: {{ending: {ending}}}\n")
        return subprocess.Popen([sys.executable, "-c", REPRO], cwd=self.root, env=self.place, preexec_fn=first,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip


@pytest.fixture
def repository(tmp_path, repo) -> Repository:
    return Repository(tmp_path, repo)


@pytest.mark.slow
def test_the_failed_stage_s_own_code_and_reason_come_through(repository):
    process = repository.start("fails")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 4
    assert errors.endswith("stage own failed with code 4: rows 3 and 4 are wrong\n")
    # A stage that is killed leaves no reason, and an old one must not be taken for it.
    process = repository.start("is killed")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "`dvc repro` failed with code" in errors.splitlines()[-1]
    process = repository.start("well")
    assert process.communicate(timeout=120) and process.returncode == 0
    assert (repository.root / "artifacts/own/out.txt").read_text() == "well"
    process = repository.start("well")  # nothing to do: what is said of the stage stays true
    assert process.communicate(timeout=120) and process.returncode == 0
    assert read_json(repository.root / ".understudy/status/own.json")["reason"] == "done"


@pytest.mark.slow
def test_a_stage_that_the_kernel_killed_for_memory_is_told_by_its_own_advice(repository):
    reason = "killed by the kernel, which had no memory left; own.schedule.micro_batch: 4 should fit"
    with control_groups.limited(2**30) as enter:
        process = repository.start("takes too much", enter)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 12 and errors.endswith(f"stage own failed with code 12: {reason}\n"), errors
    status = read_json(repository.root / ".understudy/status/own.json")
    assert status == {"stage": "own", "code": 12, "reason": reason}
    # Killed by somebody else it has no such reason, whatever the note says.
    process = repository.start("is killed")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "no memory" not in errors


def waiting(repository: Repository) -> subprocess.Popen[str]:
    """`repro`, at the point where its stage waits to be stopped."""
    process = repository.start("waits")
    deadline = time.monotonic() + 120
    while not (repository.root / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_a_signal_reaches_the_stage_and_its_end_is_waited_for(repository):
    process = waiting(repository)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert errors.endswith("stage own failed with code 75: stopped with its state saved\n")
    process = repository.start("well")  # and nothing is left locked
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_killed_outright_it_takes_dvc_and_the_stage_with_it(repository):
    process = waiting(repository)
    process.kill()
    process.communicate()
    with held(repository.root / ".understudy/own/lock", wait=60) as free:
        assert free
    left = read_json(repository.root / ".understudy/status/own.json")
    assert left == {"stage": "own", "code": 75, "reason": "stopped with its state saved"}
    deadline = time.monotonic() + 60  # DVC ends after its stage
    while processes_in(repository.root):
        assert time.monotonic() < deadline, processes_in(repository.root)
        time.sleep(0.05)
    process = repository.start("well")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_one_before_to_be_checked_out(repository):
    output = repository.root / "artifacts/own/out.txt"
    assert repository.start("well").wait(120) == 0
    before = {name: (repository.root / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    assert repository.start("fails").wait(120) == 4
    assert not output.exists()  # DVC removes outputs before it runs a stage
    for name, content in before.items():
        (repository.root / name).write_bytes(content)
    command = [sys.executable, "-m", "dvc"]
    subprocess.run([*command, "checkout"], cwd=repository.root, env=repository.place, check=True, capture_output=True)
    assert output.read_text() == "well"
    status = subprocess.run([*command, "status"], cwd=repository.root, env=repository.place, capture_output=True)
    assert b"up to date" in status.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_plots_find_their_columns_whatever_the_kind_of_the_data(kind, repo, tmp_path):
    own_repository.done(tmp_path, "git", "init", "-q")
    own_repository.done(tmp_path, "dvc", "init", "-q")
    plots = yaml.safe_load((repo / "dvc.yaml").read_text())["plots"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}))
    kid, reading = (on_validation(name) for name in (KID[kind], READINGS[kind][0].name))
    for stage in ("teacher", "distill", "baseline"):
        rows = [(step, {kid: 1 / step, reading: step / 100}) for step in (10, 20)]
        folder = tmp_path / "artifacts" / stage
        write_table(folder / "validation.csv", rows, {"selection": (kid,), "reading": (reading,)})
        losses = {"cycle": 1.0, "output": 0.5} if kind == "unpaired" else {"recon": 1.0, "alignment": 0.5}
        write_table(folder / "curves.csv", [(10, losses)], CURVES)
    rows = "road,0.5,0.4,0.3,0.6\n" if kind == "labels" else ""
    write_text(tmp_path / "artifacts/evaluate/classes.csv", f"class,teacher,student,baseline,real\n{rows}")
    for name in ("prepare/samples.png", "prune/widths.png", "evaluate/samples.png"):
        write_grid({"one": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, tmp_path / "artifacts" / name)
    shown = own_repository.run(tmp_path, "dvc", "plots", "show", "--out", "page")
    assert shown.returncode == 0 and "could not" not in shown.stdout + shown.stderr
    page = (tmp_path / "page/index.html").read_text()
    assert "KID on the validation split" in page and "What the judge reads" in page
    assert page.count("vega") >= 4 and ("road" in page) == (kind == "labels")
