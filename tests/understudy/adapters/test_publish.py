"""From the registry to S3 and back, by the commands."""

from pathlib import Path

import pytest
from s3_servers import BUCKET, Rclone, use

from understudy import bundle
from understudy.adapters.mlflow import connect
from understudy.adapters.registry import FILES
from understudy.cli import main
from understudy.errors import BAD_INPUT, DATA_FAILED, GATE_FAILED, OK
from understudy.export.record import FILES as EXPORTED
from understudy.files import sha256

REGISTERED = {Path(path).name: name for name, path in {**FILES, **EXPORTED}.items()}


def register(root: Path, *names: str, promoted: bool = False, alias: str = "") -> dict[str, bytes]:
    """A version of the model `street` with files of these names, as far as publishing goes; their content."""
    store = connect(root)
    run = store.client.create_run(store.experiment)
    number = len(store.client.search_model_versions("name = 'street'")) + 1
    folder = root / f"version-{number}"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(f"{name} of version {number}".encode())
    store.client.log_artifacts(run.info.run_id, str(folder), "student/artifacts")
    tags = {f"{REGISTERED[name]}_sha256": sha256(folder / name) for name in names if name in REGISTERED}
    tags |= {"promoted_at": "2026-01-01T00:00:00+00:00"} if promoted else {}
    if number == 1:
        store.client.create_registered_model("street")
    store.client.create_model_version("street", f"{run.info.artifact_uri}/student", run.info.run_id, tags=tags)
    if alias:
        store.client.set_registered_model_alias("street", alias, str(number))
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.slow
def test_what_was_promoted_is_published_and_nothing_else(
    root: Path, rclone: Rclone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    use(monkeypatch, rclone)
    (root / "params.yaml").write_text("registry:\n  model: street\n")
    whole = (*REGISTERED, "card.md")
    first = register(root, *whole, promoted=True)
    register(root, *whole)
    register(root, "arch.json", "weights.safetensors", "dataset.json", promoted=True)
    champion = register(root, *whole, promoted=True, alias="champion")
    register(root, *whole, alias="challenger")

    def call(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--root", str(root)] if arguments[0] == "publish" else [*arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    target = f"s3://{BUCKET}/models"
    code, said = call("publish", target)
    assert code == OK and f"published: {target}/street/4 (7 files; sent " in said
    assert f"understudy fetch {target}/street/4 --output DIR" in said
    assert call("publish", f"{target}/", "--model", "models:/street/1")[0] == OK
    for model in ("models:/street@challenger", "models:/street/2"):
        code, said = call("publish", target, "--model", model)
        assert code == GATE_FAILED and f"{model}: version" in said and "was never promoted" in said
    code, said = call("publish", target, "--model", "models:/street/3")
    assert code == BAD_INPUT and "without an ONNX file" in said
    assert call("publish", "elsewhere")[0] == BAD_INPUT
    assert call("publish", target, "--model", "models:/nobody@champion")[0] == BAD_INPUT
    listed = rclone.client().list_objects_v2(Bucket=BUCKET, Prefix="models/", Delimiter="")["Contents"]
    assert {entry["Key"].split("/")[2] for entry in listed} == {"1", "4"}

    for version, content in (("", champion), ("/1", first)):
        output = root / f"out{version.replace('/', '-')}"
        code, said = call("fetch", f"{target}/street{version}", "--output", str(output))
        assert code == OK and "(7 files, every checksum right)" in said
        found = {path.name: path.read_bytes() for path in output.iterdir()}
        assert found.keys() == {*content, bundle.EXAMPLE, bundle.SUMS} and content.items() <= found.items()
    code, said = call("fetch", f"{target}/street", "--output", str(root / "out-1"))
    assert code == BAD_INPUT and "is not overwritten" in said

    store = connect(root)
    version = store.client.get_model_version("street", "4")
    (Path(version.source.removeprefix("file://")) / "artifacts" / "student.onnx").write_bytes(b"another")
    code, said = call("publish", f"s3://{BUCKET}/elsewhere")
    assert code == DATA_FAILED and "student.onnx: is not the file that was registered" in said
