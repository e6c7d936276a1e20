"""Checkpoints of the public layout that nobody would write on purpose: a generator that runs, or one clear error."""

import io
import warnings
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peak_memory import bounded
from public_layout import Resnet, Unet
from three_kinds import drawn_info
from torch import nn

from understudy.errors import UserError
from understudy.foreign.teacher import taken
from understudy.params.loader import parse
from understudy.params.teacher import Teacher

pytestmark = pytest.mark.slow
MANY = settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
REPO = Path(__file__).parents[3]
INFO = drawn_info("labels")
NORMS = ("batch", "instance", "instance_affine")
FIRST = {"resnet": "model.1.weight", "unet": "model.model.0.weight"}
HUGE = 1 << 40


def params(family="inception"):
    values = yaml.safe_load((REPO / "params.yaml").read_text())["teacher"]
    custom = {"file": str(REPO / "examples/generator.py"), "name": "Generator"}
    return parse(Teacher, values | {"family": family, "encoding": "rgb", "custom": custom}, "teacher")


def states():
    """One of each layout and kind of norm, as small as there are."""
    for norm in NORMS:
        yield "resnet", Resnet(1, 3, norm).state_dict()
        yield "unet", Unet(1, 5, norm).state_dict()
    space = {}
    exec((REPO / "examples/generator.py").read_text(), space)
    yield "custom", space["Generator"](3).state_dict()


STATES = list(states())
PARAMS = {"custom": params("custom")} | dict.fromkeys(FIRST, params())
DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64, torch.uint16, torch.bool,
          torch.complex64, torch.float8_e4m3fn, torch.float8_e8m0fnu, torch.float4_e2m1fn_x2]  # fmt: skip
shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4, 7, 64, HUGE]), max_size=5)


def empty_or(shape, fill):
    """A tensor of any shape that a file can tell of: stretched out of one number, or with none at all."""
    try:
        return torch.full((1,) * len(shape), fill).expand(shape)
    except RuntimeError:  # of more numbers than can be counted
        return torch.full((), fill)


def cast(dtype):
    def to(tensor):
        try:
            return tensor.to(dtype)
        except (RuntimeError, NotImplementedError):
            return torch.zeros(tensor.shape, dtype=torch.uint8).view(dtype)

    return to


def spoilt(number):
    def spoil(tensor):
        return (tensor.float() * 0 + number).to(tensor.dtype) if tensor.is_floating_point() else tensor

    return spoil


changes = st.one_of(
    st.sampled_from(DTYPES).map(cast),
    st.sampled_from([float("nan"), float("inf"), -1.0, 1e38, 1e-38]).map(spoilt),
    st.builds(lambda shape, fill: lambda _: empty_or(shape, fill), shapes, st.sampled_from([0.0, 1.0])),
    st.sampled_from([
        lambda tensor: tensor.flatten(), lambda tensor: tensor.unsqueeze(0), lambda tensor: tensor.mT,
        lambda tensor: tensor[:0], lambda tensor: tensor[..., None].expand(*tensor.shape, 3),
        lambda tensor: tensor.reshape(-1)[:1].expand(HUGE), lambda tensor: torch.empty(0, *tensor.shape, HUGE),
        lambda tensor: torch.as_strided(tensor, tensor.shape, [0] * tensor.dim()),
        lambda tensor: tensor.to_sparse(), lambda tensor: tensor.to("meta"),
        lambda tensor: nn.Parameter(tensor.float()),
        lambda tensor: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
        lambda tensor: tensor.tolist(), lambda tensor: None, lambda tensor: "weights", lambda tensor: {"0": tensor},
        lambda tensor: [tensor], lambda tensor: torch.Size(tensor.shape), lambda tensor: tensor.dim(),
    ]),
)  # fmt: skip
keys = st.one_of(
    st.text(max_size=8), st.integers(), st.none(), st.booleans(), st.tuples(st.integers()),
    st.sampled_from(["model.10.conv_block.1.weight", "model.99999999999999999999.conv_block.1.weight",
                     "model.-1.weight", "model.12.conv_block.", "model.1", "model..", ".weight", "", "module.",
                     "model.model.1.model.3.model", "3.model" * 40, "3.model" * 20_000,
                     "model.model.0.weight", "model.1.weight", "a\nb", "街", "\x00"]),
    st.builds("model.{}.weight".format, st.integers(0, 30)),
    st.builds("model.{}.conv_block.{}.weight".format, st.integers(8, 20), st.integers(0, 9)),
)  # fmt: skip
containers = st.sampled_from([
    dict, OrderedDict, lambda state: list(state.items()), lambda state: tuple(state.values()),
    lambda state: {"state_dict": state}, lambda state: {"G": {"A": state}}, lambda state: [state, state],
    lambda state: {f"module.{key}": value for key, value in state.items()},
    lambda state: {f"module.module.{key}": value for key, value in state.items()},
    lambda state: next(iter(state.values()), None), lambda state: set(map(str, state)), lambda state: None,
])  # fmt: skip


@st.composite
def files(draw):
    """The family that a checkpoint was of, and its content after what was done to it."""
    family, state = draw(st.sampled_from(STATES))
    state = dict(state)
    for _ in range(draw(st.integers(1, 3))):
        names = list(state)
        name = draw(st.sampled_from([*names, *[first for first in FIRST.values() if first in state] * 8]))
        what = draw(st.sampled_from(["change", "change", "change", "drop", "rename", "add", "swap", "every"]))
        if what == "drop":
            del state[name]
        elif what == "rename":
            state[draw(keys)] = state.pop(name)
        elif what == "add":
            state[draw(keys)] = state[name]
        elif what == "swap":
            other = draw(st.sampled_from(names))
            state[name], state[other] = state[other], state[name]
        else:
            change = draw(changes)
            for key in names if what == "every" else [name]:
                state[key] = changed(state[key], change)
    whole = draw(st.one_of(st.just(dict), containers))(state)
    stream = io.BytesIO()
    try:
        torch.save(whole, stream, _use_new_zipfile_serialization=draw(st.booleans()))
    except Exception:  # torch itself cannot write it
        stream = io.BytesIO(b"PK")
    content = bytearray(stream.getvalue())
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 3]))):
        # Drawn from a fixed range: torch does not always write as many bytes.
        content[draw(st.integers(0, 2**20)) % len(content)] = draw(st.integers(0, 255))
    return family, bytes(content)


def changed(value, change):
    """What was changed once may be no tensor any more, or one that cannot be changed so."""
    try:
        return change(value)
    except Exception:
        return value


def read(family, content, size=(32, 32)):
    """Import it as the teacher's stage does, and translate an image with what came of it."""
    with bounded(150), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of storages that it will not have any more
        try:
            arch, net = taken(content, PARAMS[family], replace(INFO, size=size), "teacher.source: G.pth")
        except UserError as error:
            assert str(error).startswith("teacher.source: G.pth: ") and len(str(error)) < 1500
            return
        assert (arch.input_channels, arch.size) == (3, size)
        with torch.inference_mode():
            assert net(torch.zeros(1, 3, *size)).shape == (1, 3, *size)


def saved(content):
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def in_levels(count):
    return dict(STATES[1][1]) | {"3.model" * count: torch.ones(1)}


@MANY
@given(files())
@example(("resnet", saved({"model.1.weight": torch.empty(0, 3, 7, 7), "model.10.conv_block.1.weight": torch.ones(1)})))
@example(("resnet", saved(dict(STATES[0][1]) | {"model.1.weight": torch.empty(HUGE, 0, 7, 7)})))
@example(("resnet", saved(dict(STATES[0][1]) | {"model.1.weight": torch.empty(1 << 22, 3, 0, 7)})))
@example(("unet", saved(in_levels(20_000))))
@example(("unet", saved(in_levels(100))))
def test_any_checkpoint_is_a_generator_or_one_error(file):
    read(*file)


def test_untouched_checkpoints_are_taken():
    """What the fuzzing starts from, so that it is no fuzzing of what is refused anyway."""
    for family, state in STATES:
        arch, _ = taken(saved(state), PARAMS[family], INFO, "G.pth")
        assert arch.family == family
