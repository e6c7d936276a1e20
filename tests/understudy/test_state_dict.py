import os
import pickle
import zipfile

import pytest
import torch
from peak_memory import bounded

from understudy.errors import UserError
from understudy.state_dict import read_state


def read(path):
    return read_state(path.read_bytes(), str(path))


def saved(content, path, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_come_back_in_float32_without_the_prefix_of_data_parallel(legacy, tmp_path):
    state = {"module.a.weight": torch.randn(3, 2).half(), "module.a.count": torch.tensor(7)}
    found = read(saved(state, tmp_path / "G.pth", _use_new_zipfile_serialization=not legacy))
    assert found.keys() == {"a.weight", "a.count"}
    assert found["a.weight"].dtype == torch.float32 and found["a.count"].item() == 7
    assert torch.equal(found["a.weight"], state["module.a.weight"].float())


HALF = torch.ones(10_000).half()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil-was-here",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_refused_and_never_run(legacy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved({"a": Evil()}, tmp_path / "G.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="nor tensors of torch"):
        read(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"G\.pth: damaged"):
        read(path)
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds list"),
        ({}, "holds nothing"),
        ({"epoch": 3, "state_dict": {}}, "a mapping of epoch, state_dict"),
        ({1: torch.ones(2)}, "a mapping of 1"),
        ({"a": torch.ones(1).expand(1 << 50)}, "a: expected plain tensors"),
        ({"a": torch.ones(2, 2).to_sparse()}, "a: expected plain tensors"),
        ({"a": torch.empty(0, 1 << 50)}, "a: expected plain tensors"),
        ({str(index): HALF for index in range(9)}, "0, 1, 2 and 6 more: these share their numbers"),
        (
            {"a": torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)},
            "save the network's (weights as float32|state_dict)",
        ),
        ({"a": torch.tensor([1.0, float("nan")])}, "NaN or infinite values in a"),
    ],
    ids=["list", "nothing", "training state", "numbered", "petabytes", "sparse", "empty", "shared", "float4", "nan"],
)
def test_anything_but_named_tensors_is_refused(content, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read(saved(content, tmp_path / "G.pth"))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_damaged_file_is_one_clear_error_wherever_it_is_damaged(legacy, tmp_path):
    """Cut off, or with bytes flipped, at many places: an error that names the file, or tensors; nothing else."""
    path = saved({"a.weight": torch.randn(4, 3), "b": torch.arange(5)}, tmp_path / "G.pth",
                 _use_new_zipfile_serialization=not legacy)  # fmt: skip
    content = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for index in range(400):
        damaged = bytearray(content)
        if index % 4:
            for place in torch.randint(len(content), (1 + index % 3,), generator=generator).tolist():
                damaged[place] ^= 1 << index % 8
        else:
            del damaged[int(torch.randint(len(content), (1,), generator=generator)) :]
        path.write_bytes(damaged)
        try:
            read(path)
        except UserError as error:
            assert str(path) in str(error)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_unread(tmp_path):
    path = saved({"a": torch.zeros(64 << 20)}, tmp_path / "G.pth")
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    content = packed.read_bytes()
    assert len(content) < 1 << 19
    with bounded(20), pytest.raises(UserError, match=r"packed\.pth: damaged"):
        read_state(content, str(packed))
