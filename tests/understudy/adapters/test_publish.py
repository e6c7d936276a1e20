"""From the registry to S3 and back, by the commands."""

import json
from pathlib import Path

import pytest
from s3_servers import BUCKET, Rclone, use

from understudy import bundle, checksums
from understudy.adapters.ledger_store import LedgerStore, entry, signed
from understudy.adapters.mlflow import connect
from understudy.adapters.publish import publish
from understudy.adapters.registry import FOUND, NETWORK
from understudy.checksums import write_sums
from understudy.cli import main
from understudy.errors import BAD_INPUT, GATE_FAILED, OK, UserError
from understudy.export.record import FILES as EXPORTED
from understudy.files import sha256
from understudy.ledger import Action
from understudy.metrics.protocol import MIOU

POLICY = {MIOU: {"min": 0.5}}
NAMES = tuple(Path(path).name for path in {**NETWORK, **FOUND, **EXPORTED}.values())


def register(root: Path, *names: str, promoted: bool = False, alias: str = "") -> dict[str, bytes]:
    """A version of the model `street` with files of these names, as far as publishing goes; their content."""
    store = connect(root)
    ledgers = LedgerStore.create(store, "street")
    number = str(len(store.client.search_model_versions("name = 'street'")) + 1)
    folder = root / f"version-{number}"
    (folder / "artifacts").mkdir(parents=True)
    for name in names:
        (folder / "artifacts" / name).write_bytes(f"{name} of version {number}".encode())
    (folder / "artifacts/verdict.json").write_text(json.dumps({"policy": POLICY, "of": number}))
    manifest = write_sums(folder)
    run = store.client.create_run(store.experiment)
    store.client.log_artifacts(run.info.run_id, str(folder), "student")
    store.client.create_model_version("street", f"{run.info.artifact_uri}/student", run.info.run_id)
    if promoted:
        decide(ledgers, "promoted", number, manifest, sha256(folder / "artifacts/verdict.json"))
    if alias:
        store.client.set_registered_model_alias("street", alias, number)
    return {name: (folder / "artifacts" / name).read_bytes() for name in names}


def stored_sums(root: Path, version: str) -> str:
    """SHA-256 of a version's SHA256SUMS."""
    return sha256(root / f"version-{version}" / checksums.NAME)


def decide(ledgers: LedgerStore, action: Action, version: str, manifest: str, verdict: str, reason: str = "") -> None:
    """Add an entry to the ledger, and a decision that says so. verdict: SHA-256 of the version's."""
    ledger = ledgers.read()
    decision = {"model": "street", "version": version, "action": action, "champion": ledger.champion, "reasons": [],
                "rules": [], "policy": POLICY, "measured": {}, "verdict_sha256": verdict, **signed()}  # fmt: skip
    assert ledgers.append(entry(ledger, action, version, manifest, decision, reason), decision)


@pytest.mark.slow
def test_what_was_promoted_is_published_and_nothing_else(
    root: Path, rclone: Rclone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    use(monkeypatch, rclone)
    (root / "params.yaml").write_text("registry:\n  model: street\n")
    whole = (*NAMES, "card.md")
    first = register(root, *whole, promoted=True)
    register(root, *whole)
    register(root, *(name for name in whole if not name.endswith(".onnx")), promoted=True)
    champion = register(root, *whole, promoted=True, alias="champion")
    register(root, *whole, alias="challenger")

    def call(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--root", str(root)] if arguments[0] == "publish" else [*arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    target = f"s3://{BUCKET}/models"
    code, said = call("publish", target)
    assert code == OK and f"published: {target}/street/4 (10 files; sent " in said
    assert f"understudy fetch {target}/street/4 --output DIR" in said
    assert call("publish", f"{target}/", "--model", "models:/street/1")[0] == OK
    for model in ("models:/street@challenger", "models:/street/2"):
        code, said = call("publish", target, "--model", model)
        assert code == GATE_FAILED and f"{model}: street version" in said and "was never promoted" in said
    code, said = call("publish", target, "--model", "models:/street/3")
    assert code == BAD_INPUT and "without an ONNX file" in said
    assert call("publish", "elsewhere")[0] == BAD_INPUT
    assert call("publish", target, "--model", "models:/nobody@champion")[0] == BAD_INPUT
    listed = rclone.client().list_objects_v2(Bucket=BUCKET, Prefix="models/", Delimiter="")["Contents"]
    assert {entry["Key"].split("/")[2] for entry in listed} == {"1", "4"}

    for version, content in (("", champion), ("/1", first)):
        output = root / f"out{version.replace('/', '-')}"
        code, said = call("fetch", f"{target}/street{version}", "--output", str(output))
        assert code == OK and "(10 files, every checksum right)" in said
        found = {path.name: path.read_bytes() for path in output.iterdir()}
        assert found.keys() == {*content, bundle.EXAMPLE, checksums.NAME} and content.items() <= found.items()
    code, said = call("fetch", f"{target}/street", "--output", str(root / "out-1"))
    assert code == BAD_INPUT and "is not overwritten" in said


@pytest.mark.slow
def test_what_was_changed_rolled_back_from_or_made_champion_by_hand_is_not_published(
    root: Path, rclone: Rclone, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, rclone)
    register(root, *NAMES, promoted=True)
    register(root, *NAMES, promoted=True, alias="champion")
    register(root, *NAMES)
    store = connect(root)
    ledgers = LedgerStore.open(store, "street")

    def refused(model: str) -> str:
        with pytest.raises(UserError) as caught:
            publish(root, model, f"s3://{BUCKET}/refused")
        assert caught.value.code == GATE_FAILED
        return str(caught.value)

    store.client.set_registered_model_alias("street", "champion", "3")
    assert "the alias points to version 3, the ledger says 2" in refused("models:/street@champion")
    store.client.set_registered_model_alias("street", "champion", "1")  # promoted, but not the champion
    assert "the alias points to version 1, the ledger says 2" in refused("models:/street@champion")
    decide(ledgers, "rolled back", "1", ledgers.read().entries[0].manifest_sha256, "", "grey skies")
    assert "version 2 was rolled back from (grey skies)" in refused("models:/street/2")
    # Promoted by an entry and a decision by hand, the policy of which asks for nothing about the champion.
    decide(ledgers, "promoted", "3", stored_sums(root, "3"), "a" * 64)
    said = refused("models:/street/3")
    assert "nothing shows that it met its gate" in said and "its decision is about another verdict" in said
    decide(ledgers, "rolled back", "1", ledgers.read().entries[0].manifest_sha256, "")
    stored = Path(store.client.get_model_version("street", "1").source.removeprefix("file://"))
    (stored / "artifacts" / "student.onnx").write_bytes(b"another")
    assert "artifacts/student.onnx: was changed" in refused("models:/street@champion")
    write_sums(stored)
    assert "SHA256SUMS: is gone or was changed" in refused("models:/street@champion")
    assert "Contents" not in rclone.client().list_objects_v2(Bucket=BUCKET, Prefix="refused/")
