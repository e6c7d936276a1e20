"""A user's own network: the document's example as it stands there, and what is and is not understood."""

import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from understudy.arch.custom import CustomArch
from understudy.arch.diff import diff
from understudy.arch.families import build, load, save
from understudy.cost import cost
from understudy.errors import UserError
from understudy.foreign.traced import traced
from understudy.prune.scores import read_scores
from understudy.prune.surgery import cut
from understudy.prune.threshold import THRESHOLD
from understudy.prune.uniform import UNIFORM

REPO = Path(__file__).parents[3]
HEAD = """
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Net(nn.Module):
        stride, taps, middle = 4, ("a", "b"), "b"
"""


def example() -> str:
    """The document's first block of Python."""
    found = re.search(r"```python\n(.*?)```", (REPO / "docs/add-an-architecture.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def trace(path: Path, code: str, channels: int = 5, size: tuple[int, int] = (32, 48)) -> CustomArch:
    path.write_text(dedent(HEAD).strip("\n") + "\n" + code if "class " not in code else code)
    return traced(str(path), "Net" if "class " not in code else "Generator", "onehot", channels, size)


def body(init: str, forward: str) -> str:
    lines = ["    def __init__(self, channels):", "        super().__init__()"]
    lines += [f"        {line}" for line in dedent(init).strip().splitlines()]
    lines += ["    def forward(self, x):"] + [f"        {line}" for line in dedent(forward).strip().splitlines()]
    return "\n".join(lines) + "\n"


def lived_in(arch: CustomArch) -> nn.Module:
    """In eval mode, every weight, shift and statistic unlike its initial value; float64."""
    torch.manual_seed(0)
    net = build(arch).double().eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point():
                value.normal_(0, 0.5)
    return net


def require_cut_is_right(arch: CustomArch, select=THRESHOLD.select, share: float = 0.1) -> CustomArch:
    """Prune it; the student computes what its teacher does with the pruned channels at zero wherever they are read."""
    teacher = lived_in(arch)
    weights = teacher.state_dict()
    selection = select(arch, read_scores(weights, arch), share * cost(arch).macs_true, "macs_true", 2)
    assert 0.5 * share * cost(arch).macs_true <= selection.cost.macs_true <= share * cost(arch).macs_true
    student = build(selection.arch).double().eval()
    student.load_state_dict(cut(weights, arch, selection.arch, selection.kept, "all"))
    for conv in arch.convolutions():
        masks = []
        for group in conv.reads:
            mask = torch.zeros(group.width, dtype=torch.float64)
            mask[list(selection.kept.get(group.name, range(group.width)))] = 1
            masks.append(mask)
        kept = torch.cat(masks).view(1, -1, 1, 1)
        teacher.get_submodule(conv.name).register_forward_pre_hook(lambda _, args, kept=kept: (args[0] * kept,))
    x = torch.randn(2, arch.input_channels, *arch.size, dtype=torch.float64)
    image = student(x)
    assert torch.allclose(image, teacher(x), atol=1e-9) and image.std() > 1e-3
    return selection.arch


def counted(arch: CustomArch, size: tuple[int, int]) -> int:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(arch)(torch.empty(1, arch.input_channels, *size))
    return counter.get_total_flops() // 2


def test_the_document_s_example_is_the_shipped_file_and_short():
    code = example()
    assert code == (REPO / "examples/generator.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) < 30 and "understudy" not in code


@pytest.mark.parametrize("select", [THRESHOLD.select, UNIFORM.select], ids=["threshold", "uniform"])
def test_the_document_s_example_is_traced_costed_pruned_and_cut(select, tmp_path):
    (tmp_path / "mine.py").write_text(example())
    arch = traced(str(tmp_path / "mine.py"), "Generator", "onehot", 13, (64, 64))
    assert arch.norm == "batch" and arch.taps == ("down", "blocks.1", "blocks.3") and arch.middle == "blocks.1"
    assert arch.widths() == {
        "down.0.0": 24, "down.1.0": 48, "down.2.0": 96, "blocks.0.0.0": 96, "blocks.1.0.0": 96, "blocks.2.0.0": 96,
        "blocks.3.0.0": 96, "up.1.0": 48, "up.3.0": 24}  # fmt: skip
    for size in ((64, 64), (32, 96)):
        assert counted(arch, size) == cost(replace(arch, size=size)).macs_true
    assert cost(arch).params == sum(weight.numel() for weight in build(arch).parameters())
    student = require_cut_is_right(arch, select)
    save(student, tmp_path / "arch.json")
    (tmp_path / "mine.py").unlink()  # nobody needs it any more
    assert load(tmp_path / "arch.json") == student and "blocks.3.0.0" in diff(arch, student)
    image, features = build(load(tmp_path / "arch.json"))(torch.randn(1, 13, 64, 64), student.taps)
    assert image.shape == (1, 3, 64, 64)
    assert {tap: feature.shape[1] for tap, feature in features.items()} == dict(student.tap_widths)
    assert len(set(student.tap_widths.values())) == 1 and features["blocks.1"].shape[2:] == (16, 16)


UNET = body(
    """
    self.a = nn.Conv2d(channels, 8, 4, 2, 1)
    self.b = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1), nn.InstanceNorm2d(16, affine=True))
    self.c = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(16, 12, 4, 2, 1), nn.InstanceNorm2d(12, affine=True))
    self.d = nn.ConvTranspose2d(20, 3, 4, 2, 1)
    """,
    """
    a = self.a(x)
    c = self.c(self.b(a))
    return torch.tanh(self.d(F.relu(torch.cat((a, c), 1))))
    """,
)
MOBILE = body(
    """
    self.a = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, padding=1, padding_mode="reflect"), nn.BatchNorm2d(16))
    self.deep = nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False)
    self.norm = nn.BatchNorm2d(16)
    squeeze = nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.SiLU()
    self.gate = nn.Sequential(*squeeze, nn.Conv2d(4, 16, 1), nn.Sigmoid())
    self.b = nn.Conv2d(16, 24, 1)
    self.side = nn.Conv2d(16, 24, 3, padding="same", dilation=2)
    self.pad = nn.ReplicationPad2d(1)
    self.image = nn.Conv2d(40, 3, 3)
    """,
    """
    a = F.gelu(self.a(x))
    d = self.norm(self.deep(a)).relu() * 0.5 + a
    d = d * self.gate(d)
    b = self.b(d) + self.side(a) / 2 - 0.25
    y = torch.cat([F.dropout(b, 0.5, self.training), a], dim=1)
    y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
    return self.image(self.pad(F.max_pool2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), 3, 1))).tanh()
    """,
)
LONG_SKIP = body(
    """
    self.a = nn.Conv2d(channels, 24, 3, padding=1)
    halved = nn.InstanceNorm2d(24), nn.AvgPool2d(2)
    self.b = nn.Sequential(*halved, nn.Conv2d(24, 24, 3, padding=1), nn.Upsample(None, 2))
    self.c = nn.Conv2d(24, 3, 3, padding=1)
    """,
    "return (x + self.c(F.leaky_relu(self.b(self.a(x)), 0.1))).tanh()",
)


@pytest.mark.parametrize(
    ("code", "channels", "widths"),
    [
        (UNET, 5, {"a": 8, "b.1": 16, "c.1": 12}),
        (MOBILE, 5, {"a.0": 16, "gate.1": 4, "b": 24}),
        (LONG_SKIP, 3, {"a": 24, "b.2": 24}),
    ],
    ids=["unet", "mobile", "long skip"],
)
def test_joined_tied_gated_and_skipped_widths_are_found_and_cut(code, channels, widths, tmp_path):
    arch = trace(tmp_path / "net.py", code, channels)
    assert arch.widths() == widths
    assert counted(arch, arch.size) == cost(arch).macs_true
    assert cost(arch).params == sum(weight.numel() for weight in build(arch).parameters())
    require_cut_is_right(arch, share=0.5)
    student = require_cut_is_right(arch, UNIFORM.select, share=0.5)
    assert student.widths().keys() == widths.keys()


def test_a_feature_below_sixteen_pixels_is_compared_nowhere(tmp_path):
    deeper = UNET.replace("nn.LeakyReLU(0.2)", "nn.AvgPool2d(2)").replace("16, 12, 4, 2, 1", "16, 12, 4, 4, 0")
    deep_net = f"    stride = 8\n{deeper}"
    assert trace(tmp_path / "net.py", deep_net, size=(32, 32)).tap_widths == {"a": 8, "b": 16}
    with pytest.raises(UserError, match="relation: b has 4 pixels, fewer than 16"):
        trace(tmp_path / "net.py", deep_net, size=(16, 16))
    arch = trace(tmp_path / "net.py", deep_net, size=(64, 64))
    assert replace(arch, size=(32, 32), relation="a").tap_widths == {"a": 8, "b": 16}
    assert replace(arch, size=(16, 16), relation="a").tap_widths == {"a": 8}


PLAIN = "self.a = nn.Conv2d(channels, 8, 3, padding=1)\nself.b = nn.Conv2d(8, 3, 3, padding=1)\n"


@pytest.mark.parametrize(
    ("init", "forward", "message"),
    [
        ("self.c = nn.Linear(48, 48)", "return self.b(self.c(self.a(x)))", r"c: Linear\(.* is not known"),
        ("", "return self.b(self.a(x).flatten(2).reshape(2, 8, 32, 48))", r"flatten \(call_method\) is not known"),
        ("", "return self.b(self.a(x).abs())", r"abs \(call_method\) is not known"),
        ("", "return self.b(self.a(x) if x.sum() > 0 else self.a(x))", "cannot be traced: TraceError"),
        ("", "return self.b(self.a(x) + self.a(x))", "a is used twice"),
        (
            "",
            "return self.b(F.avg_pool2d(torch.cat((self.a(x),) * 2, 2), 3, 1, 1)[:, :, :32])",
            "cat along dimension 2",
        ),
        ("", "return self.b(self.a(x)), x", "forward returns a tuple; expected the image alone"),
        ("self.c = nn.Conv2d(8, 8, 3)", "return self.b(self.a(x))", "weights that forward does not use.*c.bias"),
        (
            "self.c = nn.Conv2d(8, 8, (3, 1), padding=(1, 0))",
            "return self.b(self.c(self.a(x)))",
            r"c: \(3, 1\): one whole number",
        ),
        ("self.c = nn.Conv2d(8, 8, 3, padding=1, groups=2)", "return self.b(self.c(self.a(x)))", "c: 2 groups"),
        (
            "self.c = nn.Conv2d(8, 8, 3)",
            "return self.b(self.c(self.a(x)))",
            r"makes \(2, 3, 30, 46\) of an input of \(2, 5, 32, 48\)",
        ),
        ("self.c = nn.Conv2d(3, 4, 1)", "return self.c(self.b(self.a(x)))", r"makes \(2, 4, 32, 48\)"),
        ("self.c = nn.GroupNorm(2, 8)", "return self.b(self.c(self.a(x)))", "GroupNorm.* is not known"),
        (
            "self.c, self.d = nn.BatchNorm2d(8), nn.InstanceNorm2d(8)",
            "return self.b(self.d(self.c(self.a(x))))",
            "norms of several kinds: batch, instance",
        ),
        ("", "return self.b(self.a(x) + torch.rand(1).item())", "is not known|another image"),
        ("self.c = nn.Conv2d(5, 5, 1)", "return self.b(self.a(x + self.c(x)))", "c cannot be cut: added to the input"),
        ("raise RuntimeError('no GPU')", "return x", "cannot be built from 5 input channels: RuntimeError: no GPU"),
        ("", "return self.a(x)", r"makes \(2, 8, 32, 48\)"),
    ],
)
def test_what_is_not_understood_is_named_with_the_file(init, forward, message, tmp_path):
    with pytest.raises(UserError, match=rf"teacher\.custom: .*net\.py:Net: .*(?:{message})") as caught:
        trace(tmp_path / "net.py", body(PLAIN + init, forward))
    assert caught.value.code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "no such file"),
        ("import nothing_of_that_name", "the file fails: ModuleNotFoundError"),
        ("class Generator:\n    pass", r"no torch\.nn\.Module of that name"),
        ("from torch import nn\nclass Generator(nn.Module):\n    stride, taps = 4, ()", "has no attribute middle"),
        (example().replace('"blocks.3")', '"blocks.4")'), r"taps: it has no module blocks\.4"),
        (example().replace('middle = "blocks.1"', 'middle = "up"'), "up is no tap; taps: down"),
        (example().replace("stride = 4", "stride = 2"), "make an image of"),
    ],
)  # fmt: skip
def test_a_file_without_a_generator_is_named(code, message, tmp_path):
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    with pytest.raises(UserError, match=rf"teacher\.custom: .*mine\.py:Generator: .*{message}"):
        traced(str(tmp_path / "mine.py"), "Generator", "onehot", 5, (32, 32))


def test_a_stored_architecture_imports_nothing_whatever_it_says(tmp_path):
    arch = trace(tmp_path / "net.py", UNET)
    save(arch, tmp_path / "arch.json")
    mark = tmp_path / "was_run"
    (tmp_path / "net.py").write_text(f"open({str(mark)!r}, 'w')")
    build(load(tmp_path / "arch.json"))(torch.randn(1, 5, 32, 48))
    assert not mark.exists()
    text = (tmp_path / "arch.json").read_text().replace('"leaky_relu"', '"os.system"')
    (tmp_path / "arch.json").write_text(text)
    with pytest.raises(UserError, match=r"nodes\[1\]\.op: expected one of conv"):
        load(tmp_path / "arch.json")
