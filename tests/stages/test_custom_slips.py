"""Slips in a generator of one's own, as people make them: the teacher's stage names each one in one line."""

import hashlib
from pathlib import Path

import pytest
import torch
import yaml
from three_kinds import write_prepared
from torch import nn

from stages import teacher
from understudy.errors import UserError
from understudy.foreign.traced import traced
from understudy.params.loader import load
from understudy.stage import Job

REPO = Path(__file__).parents[2]
GOOD = (REPO / "examples/generator.py").read_text()
TAPS = '("down", "blocks.1", "blocks.3")'
DOWN, UP = "self.down(x)", "nn.Upsample(scale_factor=2), unit(48, 24)"
BLOCKS = "self.blocks ="
LAST = "return self.image(self.up(self.blocks(self.down(x)))).tanh()"
FIRST_LINE = "super().__init__()\n        self.down"
IMAGE = "self.image = nn.Conv2d(24, 3, 5, padding=2)"
PAIR = "class Pair(nn.Module):\n    def forward(self, x):\n        return x, x\n\n\n"
TORCH = ("from torch import nn", "import torch\nfrom torch import nn")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("slips")
    write_prepared(root, "labels")
    return root


def planned(root, teacher_values):
    """What `python -m stages.teacher --dry-run` does, with the shipped parameters but for these."""
    values = yaml.safe_load((REPO / "params.yaml").read_text())
    values["runtime"] = {"device": "cpu", "precision": "fp32"}
    values["teacher"] |= teacher_values
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    return teacher.plan(Job("teacher", root, load(root / "params.yaml", teacher.READS)))


def refused(root, teacher_values, begins, message):
    with pytest.raises(UserError, match=message) as caught:
        planned(root, teacher_values)
    said = str(caught.value)
    assert said.startswith(begins) and "\n" not in said and caught.value.code == 2 and len(said) < 700


def custom(file, name="Generator"):
    return {"family": "custom", "custom": {"file": str(file), "name": name}}


def with_module(code, used="self.it(self.down(x))"):
    """Changes that give the generator one more module, `it`, and use it."""
    return (BLOCKS, f"self.it = {code}; {BLOCKS}"), (DOWN, used)


OF_THE_FILE = {
    "syntax": ([("def forward(self, x):", "def forward(self, x)")], r"the file fails: SyntaxError.*line 16"),
    "bytes": ([("from torch", "\0from torch")], "the file fails: .*null bytes"),
    "package": ([("from torch import nn", "from tortch import nn")], "No module named 'tortch'.*line 1.*installed"),
    "sibling": ([("from torch import nn", "from blocks import nn")],
            "No module named 'blocks'.*where the stage is run"),
    "fails": ([("from torch import nn", "from torch import nn\n1 / 0")],
            r"the file fails: ZeroDivisionError.*\(line 2\)"),
    "program": ([("from torch import nn", "from torch import nn\nexit(3)")], "SystemExit: 3 .*__main__"),
    "class": ([("class Generator", "class Genrator")], "no torch.nn.Module of that name.*classes are Genrator, Block"),
    "no module": ([("class Generator(nn.Module)", "class Generator")], "Generator is a type.*its classes are Block"),
    "function": (
        [("class Generator(", "def Generator(c):\n    return Net(c)\n\n\nclass Net(")],
        "Generator is a function, and its classes are Net, Block; set teacher.custom.name",
    ),
}  # fmt: skip
OF_THE_ATTRIBUTES = {
    "no stride": ([("    stride = 4 ", "    #")], "no attribute stride; write it in its body"),
    "stride of the instance": ([("    stride = 4 ", "    #"), (FIRST_LINE, f"self.stride = 4; {FIRST_LINE}")],
                               "no attribute stride; write it in its body"),
    "stride None": ([("stride = 4", "stride = None")], "stride: expected a whole number from 1.*found None"),
    "stride for each side": ([("stride = 4", "stride = (4, 4)")], r"stride: expected a whole number.*found \(4, 4\)"),
    "stride text": ([("stride = 4", 'stride = "4"')], "stride: expected a whole number.*found '4'"),
    "stride 0": ([("stride = 4", "stride = 0")], "stride: expected a whole number from 1.*found 0"),
    "stride too small": ([("stride = 4", "stride = 2")],
            r"an image of \(36, 36\) from one of \(34, 34\); does stride, 2"),
    "stride too large": ([("stride = 4", "stride = 24")], "stride: 24: images here are 32x32.*change prepare.size"),
    "no taps": ([("    taps =", "    tap =")], "no attribute taps"),
    "taps None": ([(TAPS, "None")], "taps: expected names of modules.*found None"),
    "taps empty": ([(TAPS, "()")], r"taps: expected names of modules.*found \(\)"),
    "taps without a comma": ([(TAPS, '("blocks.1")')], "taps: expected names.*one alone.*found 'blocks.1'"),
    "taps by number": ([(TAPS, "(0, 1)")], r"taps: expected names of modules.*found \(0, 1\)"),
    "taps no module": ([('"blocks.3")', '"blocks.4")')],
            "taps: it has no module blocks.4; among its modules are down,"),
    "taps twice": ([(TAPS, '("blocks.1", "blocks.1")')], "taps: blocks.1 is there twice"),
    "taps of one map": ([(TAPS, '("blocks", "blocks.1", "blocks.3")')], "blocks and blocks.3 make the same map"),
    "taps never called": ([('"blocks.3")', '"it")'), with_module("nn.ModuleList([nn.ReLU()])")[0]],
                          "no module it takes part in forward.*name one of its members"),
    "taps of the input": ([('"blocks.3")', '"it")'), *with_module("nn.Identity()", "self.down(self.it(x))")],
                          "taps: it gives the input on"),
    "taps a pair": ([('"blocks.3")', '"it")'), *with_module("Pair()", "self.it(self.down(x))[0]"),
                     ("class Block", f"{PAIR}class Block")],
                    "taps: it makes a tuple; expected one map"),
    "taps flat": ([('"blocks.3")', '"it")'), *with_module("nn.Flatten()", "self.down(x) + self.it(x).mean()")],
                  r"taps: it makes \(2, 3072\); expected one map"),
    "taps fail": ([(f"taps = {TAPS}", "taps = property(lambda self: self.them)")],
            "taps: cannot be read: AttributeError"),
    "no middle": ([("    middle =", "    centre =")], "no attribute middle"),
    "middle no tap": ([('middle = "blocks.1"', 'middle = "blocks.2"')],
            "middle: blocks.2 is no tap; taps: down, blocks.1"),
    "middle None": ([('middle = "blocks.1"', "middle = None")], "middle: None is no tap"),
    "middle a module too": ([(BLOCKS, f"self.middle = nn.ReLU(); {BLOCKS}"), (DOWN, "self.middle(self.down(x))")],
                            "middle: a module of it has this name.*rename the module"),
}  # fmt: skip
OF_THE_CONSTRUCTOR = {
    "no argument": ([("self, input_channels: int", "self"), ("unit(input_channels", "unit(3")],
                    "cannot be built from 3 input channels: TypeError.*called with that number alone"),
    "two arguments": ([("input_channels: int", "input_channels, ngf")],
            "missing 1 required positional argument: 'ngf'"),
    "raises": ([(FIRST_LINE, f"raise ValueError('no\\nGPU')\n        {FIRST_LINE}")], r"ValueError: no \(line 10\)"),
    "ends": ([(FIRST_LINE, f"exit(2)\n        {FIRST_LINE}")], "cannot be built.*SystemExit: 2"),
    "no super": ([(FIRST_LINE, "self.down")], r"before Module.__init__\(\) call \(line 10\)"),
    "elsewhere": ([(IMAGE, f"{IMAGE}.to('meta')")], "makes weights on meta; leave them on the CPU"),
    "channels of its own": ([("unit(input_channels", "unit(5")],
            "3 being the input_channels.*expected input.*to have 5"),
}  # fmt: skip
OF_FORWARD = {
    "none": ([("def forward(self, x):\n        return self.image", "def other(self, x):\n        return self.image")],
             'missing the required "forward"'),
    "two arguments": ([("(self, x):\n        return self.image", "(self, x, z=None):\n        return self.image")],
                      "forward takes more than one argument"),
    "a list": ([("(self, x):\n        return self.image", "(self, *x):\n        x = x[0]\n        return self.image")],
               "forward takes more than one argument"),
    "pair": ([(LAST, f"{LAST}, x")], "forward returns a tuple; expected the image alone"),
    "nothing": ([(LAST, LAST.removeprefix("return "))], "forward returns a NoneType; expected the image alone"),
    "four channels": ([("nn.Conv2d(24, 3,", "nn.Conv2d(24, 4,")],
            r"makes \(2, 4, 32, 32\).*expected the image, \(2, 3,"),
    "smaller": ([(UP, "unit(48, 24)")], r"makes \(2, 3, 16, 16\) of an input of \(2, 3, 32, 32\)"),
    "larger": ([(UP, UP.replace("=2", "=4"))], r"makes \(2, 3, 64, 64\) of an input of \(2, 3, 32, 32\)"),
    "type": ([(LAST, f"{LAST}.double()")], "makes torch.float64 of torch.float32"),
    "no tanh": ([(".tanh()", "")], r"reach from -inf to inf; expected \[-1, 1\].*end with tanh"),
    "sigmoid": ([(".tanh()", ".sigmoid()")], r"reach from 0 to 1; expected \[-1, 1\]"),
    "bytes": ([(".tanh()", ".tanh() * 127.5 + 127.5")], "reach from 0 to 255"),
    "NaN": ([(".tanh()", ".tanh() / 0")], "makes NaN or infinite values"),
    "by zero": ([(".tanh()", ".tanh().mul(0).add(1) / 0"), ("0\n\n\nclass Block", "0).tanh()\n\n\nclass Block"),
                 ("return self.image", "return (self.image")], r"truediv .call_function. is not known .line 17."),
    "widths": ([("unit(96, 48)", "unit(64, 48)")], r"to have 64 channels, but got 96 channels instead \(line 17\)"),
    "broadcast": ([(BLOCKS, f"self.it = nn.Conv2d(96, 1, 1); {BLOCKS}"), (LAST, "y = self.down(x)\n        "
                   "y = y * self.it(y).sigmoid()\n        return self.image(self.up(self.blocks(y))).tanh()")],
                  "puts 96 channels to 1: not equal"),
    "branch": ([(LAST, f"if x.mean() > 0:\n            x = -x\n        {LAST}")],
            r"cannot be traced: TraceError.*\(line 17\)"),
    "assertion": ([(LAST, f"assert x.shape[1] == 3\n        {LAST}")], r"cannot be traced: TraceError.*\(line 17\)"),
    "shape": ([(LAST, f"n, c, h, w = x.shape\n        {LAST}")], r"forward reads \.shape of a map.*\(line 17\)"),
    "loop": ([(LAST, f"for _ in range(x.size(0)):\n            pass\n        {LAST}")], "cannot be traced: TypeError"),
    "index": ([(DOWN, "self.blocks[9](self.down(x))")], r"IndexError: index 9 is out of range .line 17."),
    "noise": ([TORCH, (DOWN, "self.down(x) + torch.randn(1)")],
            "_tensor_constant0: a parameter, a buffer or a constant"),
    "dropout": ([(DOWN, "nn.functional.dropout(self.down(x))")], "not the same each time.*training=self.training"),
    "in place": ([(LAST, "y = self.down(x)\n        z = y\n        y += self.it(y)\n        return self.image(self.up("
                   "self.blocks(z))).tanh()"), (BLOCKS, f"self.it = nn.Conv2d(96, 96, 1); {BLOCKS}")],
                 "nothing in forward uses what add:.* makes"),
    "parameter": ([TORCH, (DOWN, "self.scale * self.down(x)"),
                   (BLOCKS, f"self.scale = nn.Parameter(torch.ones(1)); {BLOCKS}")],
                  "scale: a parameter, a buffer or a constant that forward itself uses"),
    "left out": ([with_module("nn.Conv2d(96, 5, 1)")[0]], "weights that forward does not use as modules: it.bias"),
    "for nothing": ([(BLOCKS, f"self.it = nn.Conv2d(3, 5, 1); {BLOCKS}"), (LAST, f"self.it(x)\n        {LAST}")],
                    "nothing in forward uses what it makes"),
    "twice": ([(DOWN, "self.blocks(self.down(x))")], r"blocks.0.0.0 is used twice in one pass"),
    "linear": (with_module("nn.Linear(8, 8)"), r"it: Linear\(.*\) is not known \(line 17\)"),
    "shuffle": (with_module("nn.Sequential(nn.Conv2d(96, 384, 1), nn.PixelShuffle(2), nn.AvgPool2d(2))"),
                r"it.1: PixelShuffle.* is not known"),
    "group norm": ([("nn.BatchNorm2d(cout)", "nn.GroupNorm(4, cout)")], r"GroupNorm\(.* is not known"),
    "two norms": (with_module("nn.InstanceNorm2d(96)"), "norms of several kinds: batch, instance"),
    "spectral norm": ([(IMAGE, "self.image = nn.utils.spectral_norm(nn.Conv2d(24, 3, 5, padding=2))")],
                      "image: a Conv2d with weights of its own, weight_orig: spectral_norm and weight_norm are not"),
    "weight norm": ([(IMAGE, "self.image = nn.utils.parametrizations.weight_norm(nn.Conv2d(24, 3, 5, padding=2))")],
                    "image: a ParametrizedConv2d with weights of its own"),
    "size": ([(UP, UP.replace("scale_factor=2", "size=(32, 32)"))], "up-sampling to a size; a whole scale_factor"),
    "factor": (with_module("nn.Sequential(nn.Upsample(scale_factor=1.5), nn.Upsample((8, 8)))"),
            "it.0: 1.5: one whole"),
    "attribute": ([("self.image", "self.nodes")], "no module can be called nodes.*rename it"),
    "method": ([("self.image", "self.translate")], "no module can be called translate.*rename it"),
}  # fmt: skip
SLIPS = {
    f"{part}: {name}": slip
    for part, slips in {
        "file": OF_THE_FILE,
        "attributes": OF_THE_ATTRIBUTES,
        "constructor": OF_THE_CONSTRUCTOR,
        "forward": OF_FORWARD,
    }.items()
    for name, slip in slips.items()
}


@pytest.mark.parametrize(("changes", "message"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_named_with_the_file_and_the_class(changes, message, root, tmp_path):
    code = GOOD
    for before, after in changes:
        assert before in code
        code = code.replace(before, after)
    (tmp_path / "mine.py").write_text(code)
    values = {**custom(tmp_path / "mine.py"), "encoding": "rgb"}
    refused(root, values, f"teacher.custom: {tmp_path}/mine.py:Generator: ", message)


@pytest.mark.parametrize(
    ("name", "message"),
    [("other.py", "no such file; paths begin where the stage is run"), ("", "a folder"), ("mine", "must end in .py")],
)
def test_a_file_that_is_none_is_named(name, message, root, tmp_path):
    (tmp_path / "mine").write_text(GOOD)
    refused(root, custom(tmp_path / name), f"teacher.custom: {tmp_path / name}:Generator: ", message)


def state_of(change=None):
    """The example's state dict, or what a change of its code makes of it."""
    space = {}
    exec(GOOD.replace(*change) if change else GOOD, space)
    return space["Generator"](3).state_dict()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (state_of(("BatchNorm2d(cout)", "InstanceNorm2d(cout, affine=True)")),
         "holds what instance_affine norms store, and .*mine.py:Generator has batch norms; change it; missing: "),
        (state_of(("BatchNorm2d(cout)", "InstanceNorm2d(cout)")),
         "holds what instance norms store.*missing: down.0.1.weight"),
        (state_of(("range(4)", "range(5)")), "not of .*mine.py:Generator, which has batch norms.*left over: blocks.4"),
        (state_of(("24, 48,", "24, 40,")), "of another kind: down.1.0.weight"),
        (nn.Sequential(nn.Linear(3, 3)).state_dict(), "missing: down.0.0.weight.*left over: 0.weight, 0.bias"),
        ({"state_dict": state_of()}, "holds a mapping of state_dict, expected tensors by name"),
        (state_of() | {"image.bias": torch.full((3,), torch.nan)}, "NaN or infinite values in image.bias"),
        (state_of() | {"image.bias": torch.zeros(3, dtype=torch.int64)},
         "image.bias .3,. of int64 instead of .3,. of float32"),
    ],
    ids=["scaled instance norms", "instance norms", "deeper", "narrower", "another", "nested", "NaN", "whole numbers"],
)  # fmt: skip
def test_weights_of_another_network_are_named(state, message, root, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    path = tmp_path / "G.pth"
    torch.save(state, path)
    source = {"weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    values = {**custom(tmp_path / "mine.py"), "source": source, "encoding": "rgb"}
    refused(root, values, f"teacher.source: {path}: ", message)


def test_statistics_are_never_dropped_where_a_class_declares_norms_without(root, tmp_path):
    """An instance norm of the class would make other images of what a batch norm without scales has stored."""
    (tmp_path / "mine.py").write_text(GOOD.replace("BatchNorm2d(cout)", "InstanceNorm2d(cout)"))
    torch.save(state_of(("BatchNorm2d(cout)", "BatchNorm2d(cout, affine=False)")), tmp_path / "G.pth")
    digest = hashlib.sha256((tmp_path / "G.pth").read_bytes()).hexdigest()
    source = {"weights": str(tmp_path / "G.pth"), "sha256": digest}
    values = {**custom(tmp_path / "mine.py"), "source": source, "encoding": "rgb"}
    refused(root, values, "teacher.source: ", "holds what batch norms store, and .* has instance norms")


def test_the_example_as_it_stands_is_no_slip(tmp_path):
    for code in (GOOD, GOOD.replace("nn.Conv2d(24, 3,", "nn.LazyConv2d(3,")):
        (tmp_path / "mine.py").write_text(code)
        arch = traced(str(tmp_path / "mine.py"), "Generator", "rgb", 3, (32, 32))
        assert arch.widths()["up.3.0"] == 24
