import pytest
import torch
from safetensors.torch import save_file

from understudy.errors import UserError
from understudy.train.checkpoint import Checkpoint, fingerprint, load, save


def test_a_checkpoint_comes_back_with_its_notes(tmp_path):
    path = tmp_path / "new/c.safetensors"
    tensors = {
        "a": torch.rand(3, 2),
        "step": torch.tensor(7.0),
        "count": torch.tensor(3),
        "last": torch.rand(2, 3, 4, 4),
    }
    tensors["last"] = tensors["last"].to(memory_format=torch.channels_last)
    notes = {"step": 7, "best_metrics": {"kid": 0.25}, "best_step": 0}
    save(path, Checkpoint(tensors, notes))
    found = load(path)
    assert found is not None and found.notes == notes and found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())
    assert [entry.name for entry in path.parent.iterdir()] == ["c.safetensors"]


def test_where_there_is_none_nothing_is_said(tmp_path, capsys):
    assert load(tmp_path / "none.safetensors") is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["cut", "empty", "no notes", "notes that are no JSON"])
def test_a_damaged_one_is_ignored_and_named(damage, tmp_path, capsys):
    path = tmp_path / "c.safetensors"
    save(path, Checkpoint({"a": torch.rand(50)}, {"step": 1}))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        save_file({"a": torch.rand(2)}, path, metadata=None if damage == "no notes" else {"notes": "{"})
    assert load(path) is None
    assert f"{path}: damaged checkpoint ignored" in capsys.readouterr().err


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"c\.safetensors: cannot be written"):
        save(tmp_path / "file/c.safetensors", Checkpoint({"a": torch.rand(1)}, {}))


def test_a_fingerprint_stands_for_parameters_and_inputs(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("a")
    b.write_text("b")
    params = {"Base": {"seed": 0}, "Student": {"size": (1, 2)}}
    first = fingerprint(params, [a, b])
    assert len(first) == 16 and first == fingerprint(dict(reversed(params.items())), [b, a])
    assert first != fingerprint({**params, "Base": {"seed": 1}}, [a, b])
    assert first != fingerprint(params, [a])
    b.write_text("c")
    assert first != fingerprint(params, [a, b])
    with pytest.raises(UserError, match="none: cannot be read"):
        fingerprint(params, [tmp_path / "none"])
