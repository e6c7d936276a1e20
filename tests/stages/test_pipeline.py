"""The shipped pipeline, shrunk by its parameters alone, through a real `dvc repro` in a repository of its own."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from own_repository import commit, done, environment, run
from shrunk import make, ran

from understudy.cli import main as understudy
from understudy.files import read_json, sha256

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # the first test runs the whole pipeline

STAGES = {"prepare", "check", "judge", "teacher", "prune", "distill", "baseline", "evaluate", "export", "gate"}


def change(root: Path, section: str, key: str, value: object) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    values[section][key] = value
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture(scope="module")
def clone(repo, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clone")
    make(repo, root)
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
    assert "frechet_distance_segmenter_noresize_test" not in evaluation["models"]["student"]
    verdict = read_json(clone / "artifacts/gate/verdict.json")
    assert isinstance(verdict["passed"], bool)
    exported = read_json(clone / "artifacts/export/export.json")
    assert set(verdict["exports"]) == set(exported["models"]) == {"onnx", "int8"}
    assert exported["parity"]["onnx"]["most"] <= 2 and exported["int8"]["macs"] > 0.5
    for name in ("miou_segmenter_noresize_test", "kid_segmenter_noresize_test"):
        assert name in exported["models"]["int8"] and name in exported["differences"]["int8_minus_baseline"]


def test_a_second_repro_runs_nothing(clone, first):
    assert ran(done(clone, "dvc", "repro")) == set()
    assert json.loads(done(clone, "dvc", "status", "--json")) == {}


@pytest.mark.long
def test_a_run_from_the_start_elsewhere_ends_in_the_same_bytes(clone, first, repo, tmp_path):
    make(repo, tmp_path)
    done(tmp_path, "dvc", "repro")
    outputs = [yaml.safe_load((root / "dvc.lock").read_text())["stages"] for root in (clone, tmp_path)]
    hashes = [{entry["path"]: entry["md5"] for stage in lock.values() for entry in stage["outs"]} for lock in outputs]
    assert len(hashes[0]) > 30 and hashes[0] == hashes[1]


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
        ("metrics show", "miou_segmenter_noresize_test"),
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
        assert "L1 to the photo; without pairs" in page and "widths.png" in page
    else:
        assert shown in done(clone, "dvc", *command.split())


def test_one_changed_number_reruns_its_readers_alone(clone, first):
    change(clone, "gate", "kid_segmenter_noresize_test", {"informational": True})
    assert set(json.loads(done(clone, "dvc", "status", "--json"))) == {"gate"}
    change(clone, "registry", "model", "another")
    assert set(json.loads(done(clone, "dvc", "status", "--json"))) == {"gate"}
    assert ran(done(clone, "dvc", "repro")) == {"gate"}
    change(clone, "distill", "output_weight", 7.0)
    assert set(json.loads(done(clone, "dvc", "status", "--json"))) == {"distill"}
    assert "distill.output_weight" in done(clone, "dvc", "params", "diff")
    assert ran(done(clone, "dvc", "repro")) == {"distill", "evaluate", "export", "gate"}
    assert "artifacts/evaluate/metrics.json" in done(clone, "dvc", "metrics", "diff")
    assert json.loads(done(clone, "dvc", "status", "--json")) == {}


def test_the_gate_on_a_pull_request_judges_what_was_just_run_again(clone, first, tmp_path):
    """With the student of the test above, in a fresh clone that has the files of git and the remote's alone."""
    origin, ci = tmp_path / "origin.git", tmp_path / "ci"
    done(clone, "git", "init", "-q", "--bare", "--initial-branch=main", str(origin))
    done(clone, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    author = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    done(clone, "git", *author, "commit", "-q", "-m", "a remote", ".dvc/config")
    done(clone, "git", "push", "-q", str(origin), "HEAD:refs/heads/main")
    commit(clone, "another student")
    done(clone, "dvc", "push", "--all-commits")
    done(clone, "git", "push", "-q", str(origin), "HEAD:refs/heads/branch")
    done(clone, "git", "clone", "-q", "--branch", "branch", str(origin), str(ci))
    assert understudy(["review", "--root", str(ci)]) == 0
    text = (ci / ".understudy/review/review.md").read_text()
    assert "## PASSED" in text and "dvc.lock is fresh" in text and "export int8: passed" in text
    assert (
        "| distill.output_weight | 100.0 | 7.0 |" in text and "The teacher and the baseline: no metric differs" in text
    )
    assert "kid_segmenter_noresize_test.informational: new" in text
    pictures = [(ci / f".understudy/review/{name}.png").read_bytes() for name in ("samples", "samples-before")]
    assert pictures[0] != pictures[1]


def test_without_formats_nothing_is_exported_and_the_student_is_judged(clone, first):
    change(clone, "export", "formats", [])
    assert ran(done(clone, "dvc", "repro")) == {"export", "gate"}
    assert [path.name for path in (clone / "artifacts/export").iterdir()] == ["export.json"]
    verdict = read_json(clone / "artifacts/gate/verdict.json")
    assert verdict["exports"] == {} and verdict["rules"]
    change(clone, "export", "formats", ["onnx", "int8"])
    done(clone, "dvc", "repro")


@pytest.mark.parametrize(
    ("stage", "damaged"),
    [
        ("check", "prepare/manifest.csv"),
        ("judge", "prepare/train.zip"),
        ("teacher", "judge/weights.safetensors"),
        ("prune", "teacher/weights.safetensors"),
        ("distill", "teacher/partners.safetensors"),
        ("distill", "prune/inherited.safetensors"),
        ("baseline", "prune/arch.json"),
        ("evaluate", "distill/weights.safetensors"),
        ("export", "evaluate/resamples.safetensors"),
        ("gate", "evaluate/evaluation.json"),
        ("gate", "export/student.onnx"),
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
            while not list(root.glob(".understudy/distill/*/checkpoint-*.safetensors")):
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
        env={**environment(), "UNDERSTUDY_TRACKING": "on"},
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
    assert champion.tags["exports"] == "onnx, int8" and "Exported files" in ended.stdout
    (experiment,) = [entry for entry in client.search_experiments() if entry.name == "understudy"]
    runs = client.search_runs([experiment.experiment_id], "tags.dvc_stage = 'distill'")
    steps = {run.info.run_id: len(client.get_metric_history(run.info.run_id, "loss/recon")) for run in runs}
    assert steps and set(steps.values()) == {2}, "records at steps 10 and 20 of each training, once"
    assert {run.data.tags.get("dvc_stage") for run in client.search_runs([experiment.experiment_id])} >= {
        "judge", "teacher", "distill", "baseline",
    }  # fmt: skip
