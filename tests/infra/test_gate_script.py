"""Pull requests of every kind on a real git repository with a real DVC remote, and what the gate says of each."""

import json
import os
from pathlib import Path

import pytest
import yaml
from finished_project import Project
from github_comments import NUMBER, serving
from own_repository import done, run
from s3_servers import BUCKET, KEYS
from s3_servers import serving as s3

from understudy.adapters.freshness import not_on_remote, stale
from understudy.cli import main
from understudy.errors import BAD_INPUT, DATA_FAILED, GATE_FAILED, OK, STALE, UserError
from understudy.gate import STUDENT
from understudy.metrics.protocol import MIOU
from understudy.report.review import MARKER
from understudy.verdict import PATH

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(repo, tmp_path_factory):
    return Project(repo, tmp_path_factory.mktemp("project"))


@pytest.fixture
def reviewed(project, tmp_path, capsys):
    """`reviewed(branch)`: exit code and Markdown of a review in a fresh clone of it."""

    def review(name: str) -> tuple[int, str]:
        clone = project.clone(name, tmp_path / f"ci-{name}")
        code = main(["review", "--root", str(clone)])
        return code, (clone / ".understudy/review/review.md").read_text() + capsys.readouterr().err

    return review


@pytest.fixture
def scripted(project, tmp_path, monkeypatch):
    """`scripted(branch)`: exit code and Markdown of what any CI runs, in a fresh clone of it."""
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:
        monkeypatch.delenv(name)

    def review(name: str) -> tuple[int, str]:
        clone = project.clone(name, tmp_path / f"ci-{name}")
        monkeypatch.setenv("PYTHONPATH", str(clone))
        ended = run(clone, "infra/gate.sh")
        text = (clone / ".understudy/review/review.md").read_text()
        assert text.startswith(MARKER) and "Traceback" not in ended.stderr, ended.stderr
        return ended.returncode, text

    return review


def would_run(clone: Path) -> bool:
    """What DVC itself says by its exit code, of a clone without data."""
    return run(clone, "dvc", "repro", "--dry", "--allow-missing").returncode != 0


def test_a_good_one_is_passed_and_told_in_one_comment(project, tmp_path):
    """By the script that gate.yml calls, as GitHub Actions would run it for the second time."""
    project.branch("good")
    project.set("distill.output_weight", 30.0)
    project.reproduce(0.64)
    project.share()
    clone = project.clone("good", tmp_path / "ci")
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": NUMBER}}))
    summary = tmp_path / "summary.md"

    with serving() as github, pytest.MonkeyPatch.context() as monkey:
        for name, value in {"GITHUB_BASE_REF": "main", "GITHUB_RUN_ID": "42", "GITHUB_SERVER_URL": "https://git.test",
                            "GITHUB_STEP_SUMMARY": str(summary), "PYTHONPATH": str(clone),
                            **github.environment(str(tmp_path / "event.json"))}.items():  # fmt: skip
            monkey.setenv(name, value)
        github.add(f"{MARKER}\nof an earlier run")
        ended = run(clone, "infra/gate.sh")
        assert ended.returncode == OK, ended.stdout + ended.stderr
        (comment,) = (entry["body"] for entry in github.comments)
    assert summary.read_text() == comment
    folder = clone / ".understudy/review"
    assert comment == (folder / "review.md").read_text()
    assert comment.startswith(f"{MARKER}\n## PASSED")
    assert "| distill.output_weight | 100.0 | 30.0 |" in comment and "Policy changed" not in comment
    assert "| miou | 0.600 \\[0.595, 0.605] | 0.640 \\[0.635, 0.645] | +0.04 better |" in comment
    assert "export onnx: passed" in comment and "every output is on the remote" in comment
    assert "[in the artifacts](https://git.test/someone/project/actions/runs/42#artifacts)" in comment
    assert {path.name for path in folder.iterdir()} == {"review.md", "samples.png", "samples-before.png"}
    assert done(clone, "git", "status", "--porcelain") == "" and not (clone / STUDENT[1]).exists()
    assert not would_run(clone)


def test_a_bad_one_fails_by_the_rules_it_breaks(project, scripted):
    project.branch("bad")
    project.set("distill.output_weight", 1.0)
    project.reproduce(0.4)
    project.share()
    code, text = scripted("bad")
    assert code == GATE_FAILED and "## FAILED" in text
    assert "miou | min | 0.4 | - | - | 0.5 | failed" in text
    assert "-0.2 worse" in text and "export onnx: failed" in text and "where they parted: passed" in text


def test_a_stale_one_is_told_which_stages_and_why(project, scripted, tmp_path):
    project.branch("stale")
    project.set("distill.output_weight", 7.0)
    with (project.root / "understudy/metrics/kid.py").open("a") as stream:
        stream.write("\n# another protocol\n")
    project.share()
    code, text = scripted("stale")
    assert code == STALE and "## STALE" in text
    assert "\n  - distill: " in text and "distill.output_weight: 7.0, was 100.0" in text
    assert "\n  - evaluate: understudy/metrics/kid.py: modified\n" in text
    assert "| distill.output_weight | 100.0 | 7.0 |" in text and "Verdict: PASSED" not in text
    assert would_run(tmp_path / "ci-stale")


def test_data_that_were_not_pushed_are_named(project, reviewed):
    project.branch("kept")
    project.set("distill.output_weight", 9.0)
    project.reproduce(0.61)
    project.share(push=False)
    code, text = reviewed("kept")
    assert code == DATA_FAILED and "## NOT JUDGED" in text
    assert "**The remote lacks 3 files**" in text and f"{STUDENT[1]}, artifacts/evaluate/evaluation.json" in text


def test_a_policy_that_asks_for_less_and_another_judge_are_seen_though_it_passes(project, reviewed):
    project.branch("looser")
    project.set("gate", {MIOU: {"min": 0.3}, "macs_true_g": {"max": 1.5}})
    with (project.root / "understudy/gate.py").open("a") as stream:
        stream.write("\n# kinder\n")
    project.reproduce(0.4)
    project.share()
    code, text = reviewed("looser")
    assert code == OK and "**Policy changed, and asks for less:**" in text
    assert f"gate.{MIOU}.min: from 0.5 to 0.3 (**looser**)" in text
    assert f"gate.{MIOU}.max_worse_than_teacher: removed, was 0.05 (**looser**)" in text
    assert "gate.macs_true_g.max: from 2.0 to 1.5 (stricter)" in text
    assert "**The code that judges changed:** understudy/gate.py\n" in text
    assert text.index("Policy changed") < text.index("dvc.lock is fresh")


def test_a_verdict_that_was_edited_is_not_believed(project, scripted):
    project.branch("edited")
    project.reproduce(0.4)
    path = project.root / PATH
    verdict = json.loads(path.read_text())
    verdict["passed"] = True
    verdict["rules"] = [rule | {"outcome": "passed"} for rule in verdict["rules"]]
    path.write_text(json.dumps(verdict))
    assert stale(project.root) == {"gate": [f"{PATH}: not the file that was made"]}
    project.lock()  # `dvc commit`: now dvc.lock says that the gate made it
    project.share()
    code, text = scripted("edited")
    assert code == DATA_FAILED and "it says PASSED, the gate says FAILED" in text


def test_two_runs_merged_line_by_line_are_stale(project, tmp_path):
    clone = project.clone("main", tmp_path / "ci")
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    (weights,) = (out for out in lock["stages"]["distill"]["outs"] if out["path"] == STUDENT[1])
    weights["md5"] = "0" * 32
    (clone / "dvc.lock").write_text(yaml.safe_dump(lock))
    reason = f"{STUDENT[1]}: in dvc.lock not the one that distill made"
    assert stale(clone) == {stage: [reason] for stage in ("evaluate", "export", "gate")}
    assert would_run(clone)


def test_what_cannot_be_reviewed_is_one_line_and_a_file(project, tmp_path, capsys):
    def said(clone: Path, *more: str) -> str:
        assert main(["review", "--root", str(clone), *more]) == BAD_INPUT
        text = (clone / ".understudy/review/review.md").read_text()
        assert text.startswith(f"{MARKER}\n## NOT REVIEWED")
        return capsys.readouterr().err

    project.branch("any")
    project.set("base.seed", 1)
    project.share(push=False)
    shallow = project.clone("any", tmp_path / "shallow", "--depth=1", "--no-single-branch")
    assert "fetch-depth: 0" in said(shallow)
    clone = project.clone("any", tmp_path / "whole")
    assert "no such revision" in said(clone, "--against", "nowhere")
    (clone / "params.yaml").write_text("base: {seed: 2}\n")
    assert "not as committed" in said(clone) and "params.yaml" in said(clone)


def test_an_s3_remote_is_read_with_keys_and_told_without(project, tmp_path):
    project.branch("s3")
    with s3("rclone", tmp_path / "server") as server, pytest.MonkeyPatch.context() as monkey:
        (tmp_path / "nothing").touch()
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkey.setenv(name, str(tmp_path / "nothing"))
        for name, value in server.environment.items():
            if name.startswith("AWS_"):
                monkey.setenv(name, value)
        project.remote(f"s3://{BUCKET}/run", endpointurl=server.environment["AWS_ENDPOINT_URL"])
        project.share()
        clone = project.clone("s3", tmp_path / "ci")
        assert main(["review", "--root", str(clone)]) == OK
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkey.delenv(name)
        with pytest.raises(UserError, match="credentials") as told:
            not_on_remote(clone)
        assert told.value.code == DATA_FAILED and KEYS[1] not in str(told.value)


def test_without_a_remote_nobody_can_have_the_data(project):
    project.branch("no-remote")
    (project.root / ".dvc/config").write_text("[core]\nanalytics = false\ncheck_update = false\n")
    with pytest.raises(UserError, match="there is no DVC remote"):
        not_on_remote(project.root)
