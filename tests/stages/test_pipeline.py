"""The shipped pipeline, shrunk by its parameters alone, through a real `dvc repro` in a repository of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from understudy.arch import inception
from understudy.cost import cost
from understudy.files import read_json, sha256

pytestmark = pytest.mark.slow

SIZE = (32, 32)
STAGES = {"prepare", "check", "judge", "teacher", "prune", "distill", "baseline", "evaluate", "gate"}
CLASSES = 13  # of the street scenes
IMAGES = {"train": 24, "val": 8, "test": 16}


def environment() -> dict[str, str]:
    """The stages' `python` and `dvc` are those of this test's environment; one thread; nothing is tracked."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    quiet = {"UNDERSTUDY_TRACKING": "off", "DVC_NO_ANALYTICS": "true", "GIT_CONFIG_GLOBAL": os.devnull}
    return {**os.environ, **quiet, "PATH": path, "OMP_NUM_THREADS": "1"}


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)


def done(root: Path, *command: str) -> str:
    """Standard output of a command that must succeed."""
    ended = run(root, *command)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def commit(root: Path, message: str) -> None:
    done(root, "git", "add", "-A")
    done(root, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", message)


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '(\w+)'", output))


def shrink(values: dict[str, Any]) -> dict[str, Any]:
    """The shipped parameters, as small as every stage can still do its work with."""
    schedule = {"constant_steps": 10, "decay_steps": 10, "batch_size": 4, "validate_every": 10, "checkpoint_every": 10}
    # Twenty steps must move a network far enough from its first, constant output.
    schedule |= {"learning_rate": 5.0e-3, "ema_decay": 0.0}
    values["runtime"] = {"device": "cpu", "precision": "fp32"}
    values["prepare"]["size"] = list(SIZE)
    values["check"] |= {
        "min_images": dict(IMAGES),
        "min_class_images": dict.fromkeys(IMAGES, 0),
        "near_duplicate_bits": 0,
        "near_duplicate_tone": 0.0,
    }
    values["judge"] |= {"width": 8, "steps": 30, "batch_size": 8}
    teacher = values["teacher"] | {"ngf": 12, "ndf": 8}
    teacher["schedule"] |= schedule
    values["teacher"] = teacher
    values["student"]["schedule"] |= schedule
    shape = {key: teacher[key] for key in ("ngf", "blocks", "reduction", "norm", "padding", "encoding")}
    macs = cost(inception(**shape, input_channels=CLASSES, size=SIZE)).macs_legacy
    values["prune"] |= {"macs_budget_g": round(macs / 4e9, 6), "convention": "legacy", "min_width": 4}
    values["evaluate"] = {"resamples": 40, "latency_runs": 2}
    # 16 test images are too few for a Frechet distance: evaluate leaves it out, and a bound on it would fail.
    values["gate"] = {
        "miou_judge_noresize_test": {"min": 0.0, "max_worse_than_teacher": 1.0},
        "macs_legacy_g": {"max": macs / 4e9},
        "frechet_distance_judge_noresize_test": {"informational": True},
    }
    return values


def change(root: Path, section: str, key: str, value: object) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    values[section][key] = value
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture(scope="module")
def clone(repo, tmp_path_factory) -> Path:
    """A fresh repository with this one's files, shrunk parameters, and no output of any stage yet."""
    root = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=repo, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (repo / name).is_file() and name != "dvc.lock" and not name.startswith(("artifacts/", "tests/")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repo / name, root / name)
    (root / "params.yaml").write_text(yaml.safe_dump(shrink(yaml.safe_load((repo / "params.yaml").read_text()))))
    description = root / yaml.safe_load((root / "params.yaml").read_text())["prepare"]["source"]
    drawn = yaml.safe_load(description.read_text()) | IMAGES
    description.write_text(yaml.safe_dump(drawn))
    done(root, "git", "init", "-q")
    commit(root, "start")
    return root


@pytest.fixture(scope="module")
def first(clone) -> str:
    """What the first `dvc repro` printed; its results are committed."""
    output = done(clone, "dvc", "repro")
    commit(clone, "results")
    return output


def test_every_stage_runs_and_leaves_its_outputs_and_its_status(clone, first):
    assert ran(first) == STAGES
    for stage in STAGES:
        left = read_json(clone / f".understudy/status/{stage}.json")
        assert left == {"stage": stage, "code": 0, "reason": "done"}
    graph = yaml.safe_load((clone / "dvc.yaml").read_text())["stages"]
    made = [entry for stage in graph.values() for key in ("outs", "metrics") for entry in stage.get(key, [])]
    outputs = [entry if isinstance(entry, str) else next(iter(entry)) for entry in made]
    assert [name for name in outputs if not (clone / name).exists()] == []
    evaluation = read_json(clone / "artifacts/evaluate/evaluation.json")
    assert evaluation["models"]["student"]["macs_legacy_g"]["value"] * 4 <= (
        evaluation["models"]["teacher"]["macs_legacy_g"]["value"] * 1.001
    )
    assert "frechet_distance_judge_noresize_test" not in evaluation["models"]["student"]
    verdict = read_json(clone / "artifacts/gate/verdict.json")
    assert isinstance(verdict["passed"], bool)


def test_a_second_repro_runs_nothing(clone, first):
    assert ran(done(clone, "dvc", "repro")) == set()
    assert json.loads(done(clone, "dvc", "status", "--json")) == {}


def test_the_plan_of_a_training_tells_its_cost_and_starts_nothing(clone, first):
    before = sorted(clone.glob(".understudy/**/*"))
    output = done(clone, sys.executable, "-m", "stages.baseline", "--params", "params.yaml", "--root", ".", "--dry-run")
    for line in (r"student\.schedule\.batch_size: 4", r"MACs: [\d.]+ G true, [\d.]+ G legacy",
                 r"images: train 24, val 8, test 16", r"expected time: [\d.]+ min"):  # fmt: skip
        assert re.search(line, output), f"{line} not in\n{output}"
    assert sorted(clone.glob(".understudy/**/*")) == before


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("metrics show", "miou_judge_noresize_test"),
        ("dag", "distill"),
        ("params diff HEAD~1 --all", "distill.output_weight"),
        ("plots show --out plots-of-test", "index.html"),
    ],
)
def test_what_dvc_shows(command, shown, clone, first):
    if shown == "index.html":
        done(clone, "dvc", *command.split())
        page = (clone / "plots-of-test/index.html").read_text()
        shutil.rmtree(clone / "plots-of-test")
        assert "L1 to the photo (weighted)" in page and "widths.png" in page
    else:
        assert shown in done(clone, "dvc", *command.split())


def test_one_changed_number_reruns_its_readers_alone(clone, first):
    change(clone, "gate", "kid_judge_noresize_test", {"informational": True})
    assert set(json.loads(done(clone, "dvc", "status", "--json"))) == {"gate"}
    change(clone, "registry", "model", "another")
    assert set(json.loads(done(clone, "dvc", "status", "--json"))) == {"gate"}
    assert ran(done(clone, "dvc", "repro")) == {"gate"}
    change(clone, "distill", "output_weight", 7.0)
    assert set(json.loads(done(clone, "dvc", "status", "--json"))) == {"distill"}
    assert "distill.output_weight" in done(clone, "dvc", "params", "diff")
    assert ran(done(clone, "dvc", "repro")) == {"distill", "evaluate", "gate"}
    assert "artifacts/evaluate/metrics.json" in done(clone, "dvc", "metrics", "diff")
    assert json.loads(done(clone, "dvc", "status", "--json")) == {}


@pytest.mark.parametrize(
    ("stage", "damaged"),
    [
        ("check", "prepare/manifest.csv"),
        ("judge", "prepare/train.zip"),
        ("teacher", "judge/weights.safetensors"),
        ("prune", "teacher/weights.safetensors"),
        ("distill", "teacher/discriminator.safetensors"),
        ("distill", "prune/inherited.safetensors"),
        ("baseline", "prune/arch.json"),
        ("evaluate", "distill/weights.safetensors"),
        ("gate", "evaluate/evaluation.json"),
    ],
)
def test_a_damaged_input_is_one_clear_line(stage, damaged, clone, first, tmp_path):
    """In a copy of the results, beside the repository: the stages run on any root."""
    shutil.copytree(clone / "artifacts", tmp_path / "artifacts")
    path = tmp_path / "artifacts" / damaged
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    ended = run(clone, sys.executable, "-m", f"stages.{stage}", "--params", "params.yaml", "--root", str(tmp_path))
    assert ended.returncode in (2, 4), ended.stderr
    assert "Traceback" not in ended.stderr
    complaint = [line for line in ended.stderr.splitlines() if line.startswith(f"{stage}: ")]
    assert len(complaint) == 1 and Path(damaged).name in complaint[0], ended.stderr
    left = read_json(tmp_path / f".understudy/status/{stage}.json")
    assert left["code"] == ended.returncode and Path(damaged).name in left["reason"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_stage_goes_on_and_ends_in_the_same_weights(number, clone, first, tmp_path):
    params = tmp_path / "params.yaml"
    values = yaml.safe_load((clone / "params.yaml").read_text())
    values["student"]["schedule"] |= {"constant_steps": 30, "decay_steps": 30}
    params.write_text(yaml.safe_dump(values))
    weights = {}
    for name in ("undisturbed", "killed"):
        root = tmp_path / name
        shutil.copytree(clone / "artifacts", root / "artifacts")
        shutil.rmtree(root / "artifacts/distill")
        command = [sys.executable, "-m", "stages.distill", "--params", str(params), "--root", str(root)]
        if name == "killed":
            process = subprocess.Popen(command, cwd=clone, env=environment(), stdout=subprocess.DEVNULL)
            while not list(root.glob(".understudy/distill/*/checkpoint.safetensors")):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(number)
            assert process.wait() == (75 if number == signal.SIGTERM else -number)
            assert not (root / "artifacts/distill").exists()
            assert "going on from step" in done(clone, *command)
        else:
            done(clone, *command)
        weights[name] = (root / "artifacts/distill/weights.safetensors").read_bytes()
        curves = (root / "artifacts/distill/curves.csv").read_text().splitlines()
        assert [int(line.split(",")[0]) for line in curves[1:]] == [10, 20, 30, 40, 50, 60]
    assert weights["killed"] == weights["undisturbed"]


def test_one_command_ends_in_a_registered_student_and_delivered_runs(clone, first):
    from mlflow import MlflowClient

    change(clone, "distill", "output_weight", 5.0)
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("understudy")), "run"],
        cwd=clone,
        env={**environment(), "UNDERSTUDY_TRACKING": "on", "MLFLOW_TRACKING_URI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "PASSED" in ended.stdout and "median latency" in ended.stdout
    client = MlflowClient(f"sqlite:///{clone / 'mlflow.db'}")
    model = yaml.safe_load((clone / "params.yaml").read_text())["registry"]["model"]
    champion = client.get_model_version_by_alias(model, "champion")
    assert champion.tags["weights_sha256"] == sha256(clone / "artifacts/distill/weights.safetensors")
    (experiment,) = [entry for entry in client.search_experiments() if entry.name == "understudy"]
    runs = client.search_runs([experiment.experiment_id], "tags.dvc_stage = 'distill'")
    steps = {run.info.run_id: len(client.get_metric_history(run.info.run_id, "loss/recon")) for run in runs}
    assert steps and set(steps.values()) == {2}, "records at steps 10 and 20 of each training, once"
    assert {run.data.tags.get("dvc_stage") for run in client.search_runs([experiment.experiment_id])} >= {
        "judge", "teacher", "distill", "baseline",
    }  # fmt: skip
