"""A divided batch teaches what the whole one does: over processes, and within one over a few images at a time."""

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import tiny_players
import torch
from tiny_players import ARCH, IMAGES, TRAININGS, network, trained
from torch import Tensor

from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX

PLAYERS = Path(tiny_players.__file__)
CLOSE = 1e-8  # to what is 1e-3 or larger in a step, in float64


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=CLOSE, atol=CLOSE, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> dict[str, Tensor]:
    """What two processes that torchrun starts make of every training."""
    path = tmp_path_factory.mktemp("shared") / "results.safetensors"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, str(PLAYERS), str(path)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return safetensors.torch.load_file(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_like_one(name, shared):
    """Weights, averages, optimisers, image pools and losses, with every form of alignment and with relation on."""
    found = {key.removeprefix(f"{name}: "): value for key, value in shared.items() if key.startswith(f"{name}: ")}
    assert_same(found, trained(name))


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", ["pix2pix, global_centred", "pix2pix, batch_centred", "gaugan", "cyclegan, taught"])
def test_a_few_images_at_a_time_train_like_all_at_once(name, images):
    assert images < IMAGES
    assert_same(trained(name, Forward(images=images)), trained(name))


def test_no_network_sees_more_images_at_once_than_it_may():
    net = network(PIX2PIX, ARCH, 0).float()
    seen: list[int] = []
    net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    images = torch.rand(5, 3, 32, 32)
    fake, features = Forward(images=2)(net, images, taps=ARCH.taps)
    assert seen == [2, 2, 1]
    whole, maps = net(images, taps=ARCH.taps)
    torch.testing.assert_close(fake, whole)
    assert features.keys() == maps.keys() and all(len(value) == 5 for value in features.values())


def test_a_part_is_computed_once_more_and_its_activations_are_not_kept():
    net, images = network(PIX2PIX, ARCH, 0).float(), torch.rand(4, 3, 32, 32)

    def kept(forward: Forward) -> int:
        """Bytes that the output keeps for its backward pass."""
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = forward(net, images).square().mean()
        calls: list[int] = []
        with_hook = net.register_forward_pre_hook(lambda *_: calls.append(1))
        loss.backward()
        with_hook.remove()
        assert len(calls) == (0 if forward.images is None else 4 / forward.images)
        return sum(sizes.values())

    assert kept(Forward(images=1)) < 0.2 * kept(Forward())
