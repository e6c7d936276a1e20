"""The bake-off shrunk by its recipe alone: run, killed and resumed; and what students of one seed have in common."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from shrunk import draw_few, shrink

from benchmarks.bakeoff.arms import ARMS, Arm
from benchmarks.bakeoff.designs import Design
from benchmarks.bakeoff.gradients import shares
from benchmarks.bakeoff.questions import LOSSES, QUESTIONS
from benchmarks.bakeoff.runs import borrow, make_shared
from understudy.files import read_json
from understudy.metrics.protocol import MIOU
from understudy.params.loader import load
from understudy.stage import Job

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]  # five minutes of CPU

STEPS = 120  # of a student: enough to be killed in
DESIGN = Design("tiny")
SCRATCH = Path(".understudy/bakeoff")


@pytest.fixture(scope="module")
def project(repo, tmp_path_factory) -> Path:
    """A folder with one design of 16 test images and a document that asks for its tables; two arms are run."""
    root = tmp_path_factory.mktemp("bakeoff")
    recipe = repo / "recipes/bakeoff-street-scenes.yaml"
    values = shrink(yaml.safe_load(recipe.read_text()))
    values["student"]["schedule"] |= {"constant_steps": STEPS // 2, "decay_steps": STEPS // 2, "validate_every": STEPS}
    (root / "recipes").mkdir()
    (root / "recipes/bakeoff-tiny.yaml").write_text("# A tiny bake-off\n" + yaml.safe_dump(values, sort_keys=False))
    draw_few(repo, root, values["prepare"]["source"])
    (root / "docs").mkdir()
    places = [f"<!-- table: bakeoff-{name}-tiny -->\n<!-- end of table -->\n" for name in QUESTIONS]
    (root / "docs/bakeoff.md").write_text("\n".join(places))
    done = subprocess.run(command("none", "features"), cwd=root, env=environment(repo), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture(autouse=True)
def in_the_project(project, monkeypatch):
    monkeypatch.chdir(project)


def command(*arms: str, seeds: tuple[int, ...] = (1, 2)) -> list[str]:
    return [sys.executable, "-m", "benchmarks.bakeoff", "--arms", *arms, "--seeds", *map(str, seeds), "--jobs", "2"]


def environment(repo: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repo)}


def result(arm: str, seed: int) -> dict:
    return read_json(DESIGN.result(ARMS[arm], seed))


def test_every_run_leaves_one_small_file():
    for arm in ("none", "features"):
        for seed in (1, 2):
            found = result(arm, seed)
            assert found["settings"] == DESIGN.settings(ARMS[arm]) and found["seed"] == seed
            assert 0 < found["metrics"][MIOU]["value"] < 1
            assert found["training"]["steps"] == STEPS and found["training"]["starts"] == 1
            assert found["training"]["cpu_seconds"] > 0 and found["costs"]["macs_true_g"] > 0
            assert len(found["curves"]["recon"]) == len(found["curves"]["step"]) <= 25
            assert found["curves"]["step"][-1] == STEPS
            assert ("feature" in found["curves"]) == (arm == "features")
            assert DESIGN.result(ARMS[arm], seed).stat().st_size < 8000
    assert result("none", 1)["metrics"] != result("none", 2)["metrics"]


def test_all_are_of_one_teacher_and_one_architecture():
    origins = [result(arm, seed)["origin"] for arm in ("none", "features") for seed in (1, 2)]
    teacher = read_json(DESIGN.teacher_result)
    assert all(origin == origins[0] for origin in origins)
    assert teacher["origin"].items() <= origins[0].items() and MIOU in teacher["metrics"]
    assert teacher["costs"]["macs_true_g"] > 3 * result("none", 1)["costs"]["macs_true_g"]


def test_the_document_and_its_plots_are_made_of_them():
    text = Path("docs/bakeoff.md").read_text()
    assert "| `features` | `none` | 2 |" in text
    assert "No results yet. Missing: 10 of 10 runs. `python -m benchmarks.bakeoff --questions pruning" in text
    pictures = {path.name for path in Path("docs/bakeoff").iterdir()}
    assert pictures == {f"{name}-tiny.svg" for name in ("losses", "time", "saturation")}


def test_what_is_there_is_not_run_again(repo):
    before = {path: path.stat().st_mtime_ns for path in Path("docs/results").rglob("*.json")}
    again = subprocess.run(command("none", "features"), env=environment(repo), capture_output=True, text=True)
    assert again.returncode == 0 and "done in" not in again.stdout, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in Path("docs/results").rglob("*.json")} == before


def test_a_run_that_was_killed_goes_on_and_ends_the_same(repo):
    """The command and its training are both killed, with no warning; the next command needs no word of it."""
    undisturbed, path = result("features", 1), DESIGN.result(ARMS["features"], 1)
    root = SCRATCH / "tiny" / f"features-{DESIGN.settings(ARMS['features'])}" / "seed-1"
    path.unlink()
    shutil.rmtree(root)
    killed = subprocess.Popen(command("features", seeds=(1,)), env=environment(repo), start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(root.glob(".understudy/distill/*/checkpoint-*.safetensors")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not path.exists()
    subprocess.run(command("features", seeds=(1,)), env=environment(repo), check=True, capture_output=True)
    found = result("features", 1)
    assert "going on from step" in (root / "distill.txt").read_text()
    assert found["training"]["starts"] == 2
    assert all(found[part] == undisturbed[part] for part in ("metrics", "curves", "costs", "origin"))


def test_one_that_fails_is_named_and_the_others_go_on(repo):
    arms = ("inherit-none", "fresh-discriminator")
    broken = SCRATCH / "tiny" / f"{arms[0]}-{DESIGN.settings(ARMS[arms[0]])}" / "seed-1"
    (broken / "params.yaml").mkdir(parents=True)  # where the run wants to write its parameters
    ended = subprocess.run(command(*arms, seeds=(1,)), env=environment(repo), capture_output=True, text=True)
    assert ended.returncode == 2 and f"bakeoff: {broken}/params.yaml: cannot be written" in ended.stderr
    assert DESIGN.is_done(ARMS[arms[1]], 1) and not DESIGN.is_done(ARMS[arms[0]], 1)


def test_another_teacher_s_results_are_refused(repo):
    path = DESIGN.result(ARMS["none"], 7)
    moved = result("none", 1) | {"seed": 7}
    moved["origin"] = moved["origin"] | {"teacher": "of elsewhere"}
    path.write_text(json.dumps(moved))
    try:
        ended = subprocess.run(command("all", seeds=(1,)), env=environment(repo), capture_output=True, text=True)
        assert ended.returncode == 2 and "bakeoff: tiny: results of two teachers" in ended.stderr
    finally:
        path.unlink()


def training(arm: Arm, seed: int):
    """A session of an arm, ready to start."""
    from stages.distill import READS, session

    root = borrow(DESIGN, arm, seed, make_shared(DESIGN, [arm], SCRATCH)[arm.name], Path(".understudy/sessions"))
    return session(Job("distill", root, load(root / "params.yaml", READS)))


@pytest.mark.parametrize("name", ["features", "all", "fresh-discriminator", "inherit-none", "uniform", "raw-weights"])
def test_arms_of_one_seed_see_the_same_images_in_the_same_order(name):
    """Also after steps, in which an arm's own terms and layers might have drawn from what orders the data."""
    none, other = training(ARMS["none"], 1), training(ARMS[name], 1)
    for index in range(4):
        ours, theirs = none.batch(index), other.batch(index)
        assert torch.equal(ours.inputs, theirs.inputs) and torch.equal(ours.photos, theirs.photos)
        for session in (none, other):
            before = torch.random.get_rng_state()
            session.step(index)
            assert torch.equal(torch.random.get_rng_state(), before)  # a step draws nothing at all
    assert not torch.equal(training(ARMS["none"], 2).batch(0).inputs, none.batch(0).inputs)


def test_every_loss_pulls_at_the_student():
    """By the script that tells whether weights can be compared."""
    found = shares(DESIGN, 2, SCRATCH)
    assert list(found) == list(LOSSES) and all(0 < share < 1000 for share in found.values())


def test_arms_of_one_seed_start_from_the_same_weights_but_for_what_they_vary():
    def start(name: str, part: str) -> dict:
        return getattr(training(ARMS[name], 1).state, part).state_dict()

    def same(one: dict, other: dict) -> bool:
        return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

    for name in ("features", "all"):  # the former has layers of its own beside
        assert all(same(start("none", part), start(name, part)) for part in ("generator", "discriminator"))
    assert same(start("all", "generator"), start("fresh-discriminator", "generator"))
    assert not same(start("all", "discriminator"), start("fresh-discriminator", "discriminator"))
    assert same(start("all", "discriminator"), start("inherit-none", "discriminator"))
    assert not same(start("all", "generator"), start("inherit-none", "generator"))
