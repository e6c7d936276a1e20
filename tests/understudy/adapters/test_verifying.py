"""What `verify` finds: an alias moved by hand, files that were changed, forged verdicts and evaluations."""

import shutil
from pathlib import Path

import pytest
from promoted import REGISTRY, champions, stored, take, wrong
from tiny_students import MODEL, SCORING, write_verdict

from understudy.adapters.mlflow import connect
from understudy.adapters.promoting import promote
from understudy.adapters.rolling_back import rollback
from understudy.adapters.verifying import verify
from understudy.cli import main
from understudy.data.prepared import load_info
from understudy.errors import BAD_INPUT, DATA_FAILED, GATE_FAILED, OK, UserError
from understudy.export.network import write_onnx
from understudy.export.record import FILES, RECORD
from understudy.files import read_json, sha256, write_json
from understudy.gate import DATASET, EVALUATION, STUDENT
from understudy.metrics.protocol import MIOU
from understudy.params.gate import Gate
from understudy.weights import load_generator

pytestmark = pytest.mark.slow


def test_an_alias_that_was_moved_by_hand_is_found_and_set_right(root, registered):
    client = connect(root).client
    client.set_registered_model_alias(MODEL, "champion", "1")
    assert "points to version 1, the ledger says version 2" in wrong(root, registered)
    promote(root, REGISTRY, registered, SCORING)
    assert champions(root) == {"champion": "2"}


def test_an_alias_that_was_moved_to_a_model_of_another_make_is_found(root, registered, capsys):
    import mlflow

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    store = connect(root)
    mlflow.pyfunc.save_model(root / "echo", python_model=Echo())
    other = store.client.create_model_version(MODEL, (root / "echo").as_uri()).version
    store.client.set_registered_model_alias(MODEL, "champion", other)
    assert main(["registry", "verify", "--root", str(root)]) == GATE_FAILED
    said = capsys.readouterr().out
    assert f"the alias points to version {other}, the ledger says version 2" in said
    assert "tiny version 2\n" in said and "ok     its evaluation comes out again" in said
    assert main(["registry", "verify", "champion", "--root", str(root)]) == GATE_FAILED
    said = capsys.readouterr().out
    assert f"tiny version {other}\n" in said and "or were not registered by understudy" in said
    assert main(["registry", "list", "--root", str(root)]) == OK
    assert f"the alias points to version {other}" in capsys.readouterr().out


def test_a_champion_of_which_nothing_is_left_in_the_store_is_wrong(root, registered, capsys):
    commit = connect(root).client.get_model_version(MODEL, "2").tags["git_commit"]
    assert main(["registry", "verify", commit[:9], "--root", str(root)]) == OK
    folder = stored(root, "2")
    shutil.rmtree(folder / "artifacts")
    assert main(["registry", "verify", "--root", str(root)]) == GATE_FAILED
    shutil.rmtree(folder)
    assert "its files are gone from" in wrong(root, registered)
    assert main(["registry", "verify", "9", "--root", str(root)]) == BAD_INPUT
    connect(root).client.delete_model_version(MODEL, "2")
    assert main(["registry", "verify", "--root", str(root)]) == GATE_FAILED
    said = capsys.readouterr().out
    assert "version 2 is not in the registry, or was deleted" in said and "the alias points to nothing" in said


@pytest.mark.parametrize("file", ["artifacts/weights.safetensors", "code/understudy/translator.py", "MLmodel"])
def test_a_version_whose_files_were_changed_is_found_and_cannot_be_gone_back_to(file, root, registered):
    path = stored(root, "1") / file
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    assert f"{file}: was changed" in wrong(root, registered, "1")
    with pytest.raises(UserError, match="its files are not those that were promoted"):
        rollback(root, REGISTRY, "1", "")
    path.write_bytes(before)
    (path.parent / "more.py").write_text("")
    assert "more.py: was added" in wrong(root, registered, "1")
    (path.parent / "more.py").unlink()
    assert wrong(root, registered, "1") == ""
    path.unlink()
    assert f"{file}: is gone" in wrong(root, registered, "1")


def test_a_forged_verdict_is_found_though_every_checksum_was_forged_too(root, registered):
    from understudy.checksums import write_sums

    folder = stored(root, "2")
    verdict = read_json(folder / "artifacts/verdict.json")
    verdict["metrics"][MIOU] = 0.99
    write_json(folder / "artifacts/verdict.json", verdict)
    sums = write_sums(folder)
    client = connect(root).client
    client.set_model_version_tag(MODEL, "2", "verdict_sha256", sha256(folder / "artifacts/verdict.json"))
    client.set_model_version_tag(MODEL, "2", "manifest_sha256", sums)
    client.set_model_version_tag(MODEL, "2", f"metric.{MIOU}", "0.99")
    said = wrong(root, registered)
    assert "SHA256SUMS: is gone or was changed" in said and "is not what the gate makes of" in said


def test_a_forged_evaluation_is_found_by_measuring_anew(made, root):
    gate = take(made, "worse", root)
    evaluation = read_json(root / EVALUATION)
    evaluation["models"]["student"][MIOU]["value"] = 0.86
    write_json(root / EVALUATION, evaluation)
    write_verdict(root)
    promote(root, REGISTRY, gate, SCORING)  # the first: there is nothing to compare with
    assert f"{MIOU} was 0.86 and is 0." in wrong(root, gate)
    take(made, "first", root)
    evaluation = read_json(root / EVALUATION)
    evaluation["models"]["student"][MIOU]["value"] = 0.9
    write_json(root / EVALUATION, evaluation)
    write_verdict(root)
    with pytest.raises(UserError, match=r"its evaluation does not come out again: .* was 0\.9 and is"):
        promote(root, REGISTRY, gate, SCORING)


def test_what_the_student_was_compared_with_is_measured_anew_where_it_is_at_hand(made, root):
    gate = take(made, "worse", root)
    evaluation = read_json(root / EVALUATION)
    evaluation["models"]["teacher"][MIOU]["value"] = 0.1
    evaluation["differences"]["student_minus_baseline"][MIOU] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    write_json(root / EVALUATION, evaluation)
    write_verdict(root)
    promote(root, REGISTRY, gate, SCORING)
    said = wrong(root, gate)
    assert f"the teacher's {MIOU} was 0.1 and is 0." in said
    assert f"the difference student_minus_baseline of {MIOU} was 0.5 and is" in said
    (root / "artifacts/teacher/weights.safetensors").write_bytes(b"another")
    found = verify(root, REGISTRY, gate, SCORING, None)
    said = "\n".join(said for check in found.checks for said in check.wrong)
    assert "the teacher's" not in said and "student_minus_baseline" in said
    assert any(note.startswith("the teacher was not measured anew: ") for note in found.notes)


def test_an_exported_file_that_is_not_the_student_is_found(made, root):
    gate = take(made, "first", root)
    export(root, made / "first")
    promote(root, REGISTRY, gate, SCORING)
    checked = {check.what for check in verify(root, REGISTRY, gate, SCORING, None).checks}
    assert "its exported files give the student's photos" in checked and wrong(root, gate) == ""
    take(made, "better", root)
    export(root, made / "first")  # what is measured is the one, what would be served the other
    promote(root, REGISTRY, gate, SCORING)
    assert "student.onnx: is not the student" in wrong(root, gate)


def export(root: Path, other: Path) -> None:
    """Export the student in `other` as if it were the one in `root`, with the numbers of that one."""
    arch, net = load_generator(*(other / path for path in STUDENT))
    write_onnx(net.eval(), arch, load_info(root / DATASET), sha256(root / STUDENT[1]), root / FILES["onnx"])
    evaluation = read_json(root / EVALUATION)
    write_json(root / RECORD, {
        "schema": 1, "evaluation_sha256": sha256(root / EVALUATION), "differences": {}, "collapse": {"onnx": None},
        "models": {"onnx": evaluation["models"]["student"]}, "files": {FILES["onnx"]: sha256(root / FILES["onnx"])},
    })  # fmt: skip
    write_verdict(root)


def test_a_stale_verdict_is_said(root, registered, capsys):
    strict = Gate({MIOU: {"min": 0.95}}, "params.yaml: gate")
    with pytest.raises(UserError, match="policy has changed since the verdict"):
        promote(root, REGISTRY, strict, SCORING)
    found = verify(root, REGISTRY, strict, SCORING, None)
    assert found.clean and "would fail" in found.notes[0]
    assert main(["registry", "verify", "--root", str(root)]) == OK


def test_other_data_cannot_verify(root, registered, capsys):
    (root / "artifacts/prepare/test.zip").write_bytes(b"other")
    assert main(["registry", "verify", "--root", str(root)]) == DATA_FAILED
    assert "check out the commit that it came from" in capsys.readouterr().err
