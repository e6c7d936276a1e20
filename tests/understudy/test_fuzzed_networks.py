"""Architectures and weights that nobody would write on purpose: a network that fits its files, or one clear error."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peak_memory import bounded
from safetensors.torch import save_file

from understudy.arch import families
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.unet import unet
from understudy.cost import cost
from understudy.errors import UserError
from understudy.files import read_json
from understudy.foreign.traced import traced
from understudy.weights import load_generator

pytestmark = pytest.mark.slow
MANY = settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
OWN = """
import torch
from torch import nn


class Net(nn.Module):
    stride, taps, middle = 2, ("a", "c"), "c"

    def __init__(self, channels):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 5, 1, 2, groups=6)
        self.d = nn.ConvTranspose2d(12, 3, 4, 2, 1)

    def forward(self, x):
        a = self.b(self.a(x)).relu()
        return self.d(torch.cat((a + self.c(nn.functional.leaky_relu(a, 0.2)) * 0.5, a), 1)).tanh()
"""
ARCHS = (
    inception(4, 3, 4, "batch", "zero", "onehot", 5, (32, 32)),
    resnet(4, 3, "instance", "reflect", "rgb", 3, (32, 48)),
    unet(4, 3, "instance_affine", "rgb", 3, (32, 32)),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 2**31, 10**15, -1]),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["1", "3", "9", "x"]), st.integers(-1, 10**12), max_size=3),
)


def places(value, path=()):
    """The path of every entry, at any depth."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


def spoil(value, path, entry):
    *way, last = path
    for key in way:
        value = value[key]
    if entry is ...:
        del value[last]
    else:
        value[last] = entry


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of one network of each family."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "own.py").write_text(OWN)
    for arch in (*ARCHS, traced(str(folder / "own.py"), "Net", "onehot", 5, (32, 32))):
        families.save(arch, folder / f"{arch.family}.json")
        save_file(families.build(arch).state_dict(), folder / f"{arch.family}.safetensors")
    return folder


@MANY
@given(data=st.data(), family=st.sampled_from([*(arch.family for arch in ARCHS), "custom"]))
def test_a_spoilt_architecture_is_one_error_or_another_architecture(data, family, folder):
    written = read_json(folder / f"{family}.json")
    for _ in range(data.draw(st.integers(1, 2))):
        if found := list(places(written)):
            spoil(written, data.draw(st.sampled_from(found)), data.draw(st.one_of(values, st.just(...))))
    path = folder / "spoilt.json"
    path.write_text(json.dumps(written))
    with bounded(200):
        try:
            assert cost(families.load(path)).params >= 0
            arch, net = load_generator(path, folder / f"{family}.safetensors")
            size = tuple(max(32, side) for side in arch.size) if max(arch.size) <= 64 else (32, 32)
            with torch.inference_mode():
                net.eval()(torch.zeros(1, arch.input_channels, *size))
        except UserError as error:
            assert str(folder) in str(error)


@MANY
@given(content=st.one_of(st.text(), st.recursive(values, lambda inner: st.lists(inner, max_size=3)).map(json.dumps)))
@example(content="[" * 20_000)
@example(content='{"schema": 2, "family": "resnet"}')
@example(content="1" * 5_000)
def test_what_is_no_architecture_is_one_error(content, folder):
    path = folder / "other.json"
    path.write_text(content, encoding="utf-8", errors="surrogatepass")
    with bounded(100), pytest.raises(UserError, match=r"other\.json"):
        families.load(path)


@MANY
@given(data=st.data())
def test_spoilt_weights_are_one_error_or_numbers(data, folder):
    content = bytearray(Path(folder / "unet.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 3000) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "spoilt.safetensors"
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    with bounded(100):
        try:
            load_generator(folder / "unet.json", path)
        except UserError as error:
            assert str(path) in str(error)
