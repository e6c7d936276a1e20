import hashlib

import pytest
import torch
from safetensors.torch import save_file

from understudy.errors import UserError
from understudy.train.checkpoint import Checkpoint, fingerprint, load, save, tidy


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def at(step: int) -> Checkpoint:
    return Checkpoint(step, {"a": torch.full((50,), float(step))}, {"best_step": 0})


def newest(folder):
    return folder / names(folder)[-1]


def test_a_checkpoint_comes_back_with_its_notes(tmp_path):
    tensors = {
        "a": torch.rand(3, 2),
        "step": torch.tensor(7.0),
        "count": torch.tensor(3),
        "bytes": torch.arange(9, dtype=torch.uint8),
        "last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    notes = {"best_metrics": {"kid": 0.25}, "best_step": 0}
    save(tmp_path / "new", Checkpoint(7, tensors, notes))
    found = load(tmp_path / "new")
    assert found is not None and (found.step, found.notes) == (7, notes) and found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())


def test_its_name_is_its_step_and_its_checksum(tmp_path):
    save(tmp_path, at(300))
    (path,) = tmp_path.iterdir()
    assert path.name == f"checkpoint-00000300-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.safetensors"


def test_the_newest_and_the_one_before_are_kept(tmp_path):
    for step in (90, 100, 1000, 100_000_000):
        save(tmp_path, at(step))
    found = load(tmp_path)
    assert [name.split("-")[1] for name in names(tmp_path)] == ["00001000", "100000000"]
    assert found is not None and found.step == 100_000_000
    tidy(tmp_path)
    assert len(names(tmp_path)) == 1 and load(tmp_path).step == 100_000_000


def test_where_there_is_none_nothing_is_said(tmp_path, capsys):
    assert load(tmp_path) is None and load(tmp_path / "none") is None
    assert capsys.readouterr() == ("", "")


def damage(path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[:-20])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        content[-7] ^= 1 << 3  # in the numbers: safetensors itself would read it without a word
        path.write_bytes(content)
    else:
        save_file({"a": torch.rand(2)}, path, metadata={"notes": "{}"})


HOW = ["cut", "empty", "flipped", "another"]


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_one_is_named_and_the_one_before_is_taken(how, tmp_path, capsys):
    save(tmp_path, at(10))
    save(tmp_path, at(20))
    damaged = newest(tmp_path)
    damage(damaged, how)
    found = load(tmp_path)
    assert found is not None and found.step == 10 and torch.equal(found.tensors["a"], torch.full((50,), 10.0))
    assert f"{damaged}: damaged checkpoint removed" in capsys.readouterr().err and not damaged.exists()


@pytest.mark.parametrize("how", HOW)
def test_where_all_are_damaged_there_is_none(how, tmp_path, capsys):
    save(tmp_path, at(10))
    damage(newest(tmp_path), how)
    assert load(tmp_path) is None
    assert "or from the start" in capsys.readouterr().err


def test_after_damaged_ones_what_is_saved_next_is_the_newest(tmp_path):
    for step in (20, 30):
        save(tmp_path, at(step))
        damage(newest(tmp_path), "flipped")
    assert load(tmp_path) is None
    save(tmp_path, at(10))
    assert load(tmp_path).step == 10


def test_files_of_other_names_are_left_alone(tmp_path):
    save(tmp_path, at(10))
    (tmp_path / "checkpoint-zzz.safetensors").touch()
    tidy(tmp_path)
    assert load(tmp_path).step == 10 and len(names(tmp_path)) == 2


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/checkpoint-00000001-\w+\.safetensors: cannot be written"):
        save(tmp_path / "file", at(1))


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
