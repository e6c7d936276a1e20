import pytest
import torch
from safetensors.torch import load_file, save_file

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.errors import UserError
from understudy.tensors import load_weights, save_weights
from understudy.weights import load_generator

ARCH = inception(4, 3, 4, "batch", "zero", "rgb", 3, (16, 16))


@pytest.fixture
def stored(tmp_path):
    net = architecture.build(ARCH)
    with torch.no_grad():
        net(torch.rand(2, 3, 16, 16))  # moves the running statistics: they are stored too
    architecture.save(ARCH, tmp_path / "arch.json")
    save_weights(net, tmp_path / "weights.safetensors")
    return net, tmp_path


def test_a_generator_comes_back_bit_by_bit(stored):
    net, folder = stored
    arch, again = load_generator(folder / "arch.json", folder / "weights.safetensors")
    assert arch == ARCH
    x = torch.rand(1, 3, 16, 20)
    assert torch.equal(net.eval()(x), again.eval()(x))
    assert sorted(path.name for path in folder.iterdir()) == ["arch.json", "weights.safetensors"]


def test_channels_last_weights_are_stored_as_the_same_numbers(stored):
    net, folder = stored
    save_weights(net.to(memory_format=torch.channels_last), folder / "other.safetensors")
    assert (folder / "other.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_named(keep, stored):
    _, folder = stored
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"weights\.safetensors: damaged.*make it again") as caught:
        load_generator(folder / "arch.json", path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.safetensors: no such file"):
        load_weights(architecture.build(ARCH), tmp_path / "none.safetensors")


def test_weights_of_another_architecture_are_refused_and_the_reason_is_said(stored):
    _, folder = stored
    wider = inception(8, 3, 4, "batch", "zero", "rgb", 3, (16, 16))
    path = folder / "weights.safetensors"
    with pytest.raises(UserError, match=r"not of the architecture beside it \(.*size mismatch for down\.0") as caught:
        load_weights(architecture.build(wider), path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    tensors = load_file(path)
    del tensors["up.2.conv.bias"]
    save_file(tensors, folder / "fewer.safetensors")
    with pytest.raises(UserError, match=r"Missing key\(s\) in state_dict: \"up\.2\.conv\.bias\""):
        load_weights(architecture.build(ARCH), folder / "fewer.safetensors")
