import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from understudy.arch import Block, InceptionArch, build, diff, inception, load, resnet, save
from understudy.errors import UserError

INCEPTION = inception(8, 6, 6, "batch", "reflect", "onehot", 12, (64, 96))
RESNET = resnet(8, 9, "instance", "zero", "rgb", 3, (64, 64))
PRUNED = replace(
    INCEPTION,
    stem=(3, 5, 7),
    blocks=(Block({"1": 2, "5": 1}, {}), Block({}, {}), *INCEPTION.blocks[2:]),
    head=(4, 2),
)


@pytest.mark.parametrize("arch", [INCEPTION, PRUNED, RESNET], ids=["inception", "pruned", "resnet"])
def test_a_file_gives_back_what_was_saved(arch, tmp_path):
    save(arch, tmp_path / "arch.json")
    assert load(tmp_path / "arch.json") == arch


def test_the_file_is_the_documented_json(tmp_path):
    save(PRUNED, tmp_path / "arch.json")
    value = json.loads((tmp_path / "arch.json").read_text())
    assert value["schema"] == 1 and value["family"] == "inception"
    assert value["size"] == [64, 96] and value["stem"] == [3, 5, 7] and value["head"] == [4, 2]
    assert value["blocks"][0] == {"conv": {"1": 2, "5": 1}, "depthwise": {}}
    assert value["blocks"][2]["depthwise"] == {"1": 5, "3": 5, "5": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": True}, "schema True"),
        ({"family": "unet"}, "unknown architecture family 'unet'"),
        ({"family": ["inception"]}, "unknown architecture family"),
        ({"stem": [8, 0, 32]}, "stem: widths must be at least 1"),
        ({"stem": [8, 16]}, "stem: expected 3 values, found 2"),
        ({"head": [8, 4.5]}, r"head\[1\]: expected int"),
        ({"norm": "layer"}, "norm: expected one of batch"),
        ({"size": [64, 66]}, "size: multiples of 4"),
        ({"blocks": 6}, "blocks: expected a list"),
        ({"blocks": [{"conv": {}, "depthwise": {}}]}, "blocks: a multiple of 3"),
        ({"blocks": [{"conv": {"3": 0}, "depthwise": {}}] * 3}, r"blocks\[0\].conv.3: width must be at least 1"),
        ({"blocks": [{"conv": {"2": 4}, "depthwise": {}}] * 3}, r"blocks\[0\].conv: kernel must be"),
        ({"blocks": [{"conv": {}}] * 3}, r"blocks\[0\]: missing key depthwise"),
        ({"input_channels": True}, "input_channels: expected int"),
        ({"output_channels": 4}, "output_channels: must be 3"),
        ({"widths": [1]}, "unknown key widths"),
    ],
)
def test_a_damaged_file_is_named_with_its_key(change, message, tmp_path):
    path = tmp_path / "arch.json"
    save(INCEPTION, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "null"])
def test_a_file_that_is_no_architecture_is_refused(text, tmp_path):
    (tmp_path / "arch.json").write_text(text)
    with pytest.raises(UserError, match=r"arch\.json"):
        load(tmp_path / "arch.json")


@pytest.mark.parametrize(("ngf", "blocks", "reduction"), [(0, 9, 6), (1, 9, 6), (8, 4, 6), (8, 0, 6), (8, 9, 0)])
def test_numbers_that_make_no_network_are_refused(ngf, blocks, reduction):
    with pytest.raises(UserError):
        inception(ngf, blocks, reduction, "batch", "zero", "rgb", 3, (64, 64))


def test_taps_are_the_stem_and_the_end_of_each_third():
    assert INCEPTION.taps == ("stem", "block.1", "block.3", "block.5")
    assert RESNET.taps == ("stem", "block.2", "block.5", "block.8")
    assert INCEPTION.middle == "block.2" and RESNET.middle == "block.4"
    assert PRUNED.tap_widths == {"stem": 7, "block.1": 7, "block.3": 7, "block.5": 7}


def test_the_difference_names_widths_removed_branches_and_identities():
    table = diff(INCEPTION, PRUNED).splitlines()
    row = {line.split()[0]: line for line in table if line}
    assert row["stem.0"].split()[1:] == ["8", "3", "38%"]
    assert "5 -> 2" in row["block.0"] and "5 -> ." in row["block.0"]
    assert row["block.1"].endswith("identity")
    assert "->" not in "".join(diff(RESNET, RESNET).splitlines())
    with pytest.raises(UserError, match="cannot be compared"):
        diff(RESNET, INCEPTION)


def test_reading_and_costing_need_no_torch():
    script = "import sys, understudy.arch, understudy.cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_build_refuses_what_it_does_not_know():
    with pytest.raises(TypeError):
        build("inception")
    assert isinstance(INCEPTION, InceptionArch)
