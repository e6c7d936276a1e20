import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from understudy.arch.branches import Branches
from understudy.arch.diff import diff
from understudy.arch.families import build, load, save
from understudy.arch.gaugan import GauganBlock, gaugan
from understudy.arch.inception import InceptionArch, inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import SpadeBlock, spade
from understudy.arch.unet import UnetArch, unet
from understudy.errors import UserError

INCEPTION = inception(8, 6, 6, "batch", "reflect", "onehot", 12, (64, 96))
RESNET = resnet(8, 9, "instance", "zero", "rgb", 3, (64, 64))
PRUNED = replace(
    INCEPTION,
    stem=(3, 5, 7),
    blocks=(Branches({"1": 2, "5": 1}, {}), Branches({}, {}), *INCEPTION.blocks[2:]),
    head=(4, 2),
)


UNET = unet(8, 4, "batch", "onehot", 12, (64, 96))
SPADE = spade(8, 6, "onehot", 12, (64, 128))
GAUGAN = gaugan(8, "onehot", 12, (64, 128))
FAMILIES = {
    "inception": INCEPTION,
    "pruned inception": PRUNED,
    "resnet": RESNET,
    "pruned resnet": replace(RESNET, stem=(3, 5, 7), blocks=(4, 0, 9, *RESNET.blocks[3:])),
    "unet": UNET,
    "pruned unet": replace(UNET, down=(3, 9, 1, 2), up=(4, 4, 1)),
    "spade": SPADE,
    "pruned spade": replace(
        SPADE,
        ngf=3,
        blocks=(
            SpadeBlock(Branches({"3": 2}, {"5": 1}), Branches({}, {"1": 7})),
            SpadeBlock(Branches({}, {}), Branches({}, {})),
            SpadeBlock(Branches({"1": 1}, {}), Branches({}, {})),
            *SPADE.blocks[3:],
        ),
    ),
    "gaugan": GAUGAN,
    "pruned gaugan": replace(
        GAUGAN, ngf=3, blocks=(GauganBlock(5, 0, 9, 0), GauganBlock(0, 0, 0, 0), *GAUGAN.blocks[2:])
    ),
}


@pytest.mark.parametrize("arch", FAMILIES.values(), ids=FAMILIES)
def test_a_file_gives_back_what_was_saved(arch, tmp_path):
    save(arch, tmp_path / "arch.json")
    assert load(tmp_path / "arch.json") == arch


def test_the_file_is_the_documented_json(tmp_path):
    save(PRUNED, tmp_path / "arch.json")
    value = json.loads((tmp_path / "arch.json").read_text())
    assert value["schema"] == 2 and value["family"] == "inception"
    assert value["size"] == [64, 96] and value["stem"] == [3, 5, 7] and value["head"] == [4, 2]
    assert value["blocks"][0] == {"conv": {"1": 2, "5": 1}, "depthwise": {}}
    assert value["blocks"][2]["depthwise"] == {"1": 5, "3": 5, "5": 5}
    save(FAMILIES["pruned resnet"], tmp_path / "arch.json")
    assert json.loads((tmp_path / "arch.json").read_text())["blocks"][:3] == [4, 0, 9]
    save(FAMILIES["pruned unet"], tmp_path / "arch.json")
    value = json.loads((tmp_path / "arch.json").read_text())
    assert value["down"] == [3, 9, 1, 2] and value["up"] == [4, 4, 1] and "stem" not in value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, "schema 1, this version reads 2; run the stage that makes it"),
        ({"schema": True}, "schema True"),
        ({"family": "stylegan"}, "unknown architecture family 'stylegan'"),
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


@pytest.mark.parametrize(
    ("arch", "change", "message"),
    [
        (RESNET, {"blocks": 9}, "blocks: expected a list"),
        (RESNET, {"blocks": [4, -1, 4]}, r"blocks\[1\]: width must be at least 0"),
        (RESNET, {"blocks": [4, 4]}, "blocks: a multiple of 3"),
        (UNET, {"down": [8]}, "down: at least 2 levels"),
        (UNET, {"up": [8, 8]}, "up: 3 widths are needed"),
        (UNET, {"up": [8, 0, 8]}, "up: widths must be at least 1"),
        (UNET, {"size": [64, 72]}, "size: multiples of 16"),
        (UNET, {"padding": "zero"}, "unknown key padding"),
        (SPADE, {"norm": "instance"}, "norm: must be batch"),
        (SPADE, {"ngf": 0}, "ngf: must be at least 1"),
        (SPADE, {"size": [64, 96]}, "size: multiples of 64"),
        (SPADE, {"blocks": []}, "blocks: expected 7, found 0"),
        (
            SPADE,
            {"blocks": [{"main": {"conv": {}, "depthwise": {}}, "spade": {"conv": {"1": 2}, "depthwise": {}}}] * 7},
            r"blocks\[0\].spade: branches that nothing reads",
        ),
        (GAUGAN, {"blocks": [{"hidden": 1, "first": 1, "second": -1, "shortcut": 0}] * 7}, "second: width must be at"),
        (GAUGAN, {"blocks": [{"hidden": 0, "first": 1, "second": 0, "shortcut": 0}] * 7}, "modulates what is removed"),
        (
            GAUGAN,
            {"blocks": [{"hidden": 1, "first": 1, "second": 1, "shortcut": 1}] * 7},
            r"blocks\[0\].shortcut: must be 0 where the shortcut is the identity",
        ),
    ],
)
def test_what_is_no_network_of_its_family_is_named(arch, change, message, tmp_path):
    path = tmp_path / "arch.json"
    save(arch, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        load(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "null"])
def test_a_file_that_is_no_architecture_is_refused(text, tmp_path):
    (tmp_path / "arch.json").write_text(text)
    with pytest.raises(UserError, match=r"arch\.json"):
        load(tmp_path / "arch.json")


@pytest.mark.parametrize(("ngf", "blocks", "reduction"), [(0, 9, 6), (1, 9, 6), (8, 4, 6), (8, 0, 6), (8, 9, 0)])
def test_numbers_that_make_no_network_are_refused(ngf, blocks, reduction):
    with pytest.raises(UserError):
        inception(ngf, blocks, reduction, "batch", "zero", "rgb", 3, (64, 64))


@pytest.mark.parametrize(
    ("levels", "size", "message"),
    [(1, (64, 64), "at least 2 levels"), (0, (64, 64), "at least 2 levels"), (5, (64, 48), "multiples of 32"),
     (2, (8, 8), "at least 16")],
)  # fmt: skip
def test_a_unet_that_cannot_be_is_refused(levels, size, message):
    with pytest.raises(UserError, match=rf"unet of {levels} levels: .*{message}"):
        unet(8, levels, "batch", "rgb", 3, size)


def test_a_unet_has_the_widths_of_the_literature():
    arch = unet(64, 8, "batch", "rgb", 3, (256, 256))
    assert arch.down == (64, 128, 256, 512, 512, 512, 512, 512)
    assert arch.up == (512, 512, 512, 512, 256, 128, 64)
    assert arch.stride == 256


@pytest.mark.parametrize(
    ("levels", "size", "middle", "taps"),
    [
        (8, (256, 256), "down.3", "down.0 down.1 down.2 down.3 down.4 down.5 up.1 up.2 up.3 up.4 up.5 up.6"),
        (7, (128, 128), "down.2", "down.0 down.1 down.2 down.3 down.4 up.1 up.2 up.3 up.4 up.5"),
        (5, (64, 64), "down.1", "down.0 down.1 down.2 down.3 up.0 up.1 up.2 up.3"),
        (5, (32, 32), "down.0", "down.0 down.1 down.2 up.1 up.2 up.3"),
        (4, (16, 16), "down.1", "down.0 down.1 up.1 up.2"),  # no map of 16x16: the deepest of 16 pixels
        (2, (64, 128), "down.1", "down.0 down.1 up.0"),
    ],
)
def test_a_unet_is_tapped_where_there_are_pixels_to_compare(levels, size, middle, taps):
    """SRPKD, section 3: the 4th down-convolution at 256 px, and never the bottleneck of one pixel."""
    arch = unet(4, levels, "batch", "rgb", 3, size)
    assert arch.middle == middle and " ".join(arch.taps) == taps
    assert isinstance(arch, UnetArch) and arch.middle in arch.taps
    assert all(arch.tap_widths[tap] == arch.widths()[tap] for tap in arch.taps)


@pytest.mark.parametrize(("ngf", "reduction", "size"), [(8, 0, (64, 64)), (8, 9, (64, 64)), (8, 6, (64, 100))])
def test_a_decoder_that_cannot_be_is_refused(ngf, reduction, size):
    with pytest.raises(UserError, match="spade: "):
        spade(ngf, reduction, "onehot", 36, size)
    with pytest.raises(UserError, match=r"gaugan: (ngf|size)"):
        gaugan(0 if size == (64, 64) else 8, "onehot", 36, size)


def test_a_decoder_has_the_widths_of_the_literature_and_is_tapped_where_there_are_pixels_to_compare():
    arch = spade(64, 6, "onehot", 36, (256, 512))
    assert [block.main.conv["3"] for block in arch.blocks] == [170, 170, 170, 85, 42, 21, 10]
    assert {tuple(block.spade) for block in arch.blocks} == {
        tuple((kind, kernel, 21) for kind in ("conv", "depthwise") for kernel in (1, 3, 5))
    }
    assert arch.tap_widths == {"block.0": 1024, "block.2": 1024, "block.4": 256}
    assert [block.hidden for block in gaugan(64, "onehot", 36, (256, 512)).blocks] == [1024] * 3 + [512, 256, 128, 64]
    assert [place.size for place in arch.places()][:: len(arch.blocks) - 1] == [(4, 8), (256, 512)]
    for small in (SPADE, GAUGAN):
        assert small.taps == ("block.2", "block.4") and small.middle in small.taps and small.stride == 64


def test_a_norm_of_one_pixel_needs_a_second_image():
    for arch in (spade(8, 6, "onehot", 5, (64, 64)), gaugan(8, "onehot", 5, (64, 64))):
        arch.require_batch(2)
        replace(arch, size=(64, 128)).require_batch(1)
        with pytest.raises(UserError, match=r"schedule\.batch_size: 1: at 64x64 pixels.*2 or more at a time"):
            arch.require_batch(1)
    for arch in (UNET, INCEPTION, RESNET):
        arch.require_batch(1)


def test_taps_are_the_stem_and_the_end_of_each_third():
    assert INCEPTION.taps == ("stem", "block.1", "block.3", "block.5")
    assert RESNET.taps == ("stem", "block.2", "block.5", "block.8")
    assert INCEPTION.middle == "block.2" and RESNET.middle == "block.4"
    assert PRUNED.tap_widths == {"stem": 7, "block.1": 7, "block.3": 7, "block.5": 7}


def test_the_difference_names_widths_removed_branches_and_identities():
    table = diff(INCEPTION, PRUNED).splitlines()
    assert "8 -> 3" in table[2] and "16 -> 5" in table[2]
    row = {" ".join(line.split()[:2]): line for line in table}
    assert "5 -> 2" in row["block 0"] and "5 -> ." in row["block 0"] and row["block 0"].endswith("10%")
    assert row["block 1"].endswith("identity")
    pruned = replace(RESNET, blocks=(4, 0, *RESNET.blocks[2:]))
    row = {" ".join(line.split()[:2]): line.split()[2:] for line in diff(RESNET, pruned).splitlines()}
    assert row["block 0"] == ["32", "->", "4", "12%"] and row["block 1"] == ["32", "->", ".", "0%", "identity"]
    lines = diff(SPADE, FAMILIES["pruned spade"]).splitlines()
    assert "128 -> 48" in lines[2] and "8 -> 3" in lines[2]
    assert [line.split()[0] for line in lines if line.endswith("shortcut alone")] == ["G_middle_0"]
    assert [line.split()[0] for line in lines if line.endswith("plain norm")] == ["G_middle_0", "G_middle_1"]
    deepest = diff(UNET, FAMILIES["pruned unet"]).splitlines()[-1]
    assert deepest.split() == ["4x6", "64", "->", "2", "3%"]
    assert diff(UNET, replace(UNET, size=(32, 32))).startswith("size: (64, 96) -> (32, 32)\n")
    with pytest.raises(UserError, match="cannot be compared"):
        diff(RESNET, INCEPTION)


def test_reading_and_costing_need_no_torch():
    modules = "understudy.arch.families, understudy.arch.teacher, understudy.arch.diff, understudy.cost"
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_build_refuses_what_it_does_not_know():
    with pytest.raises(TypeError):
        build("inception")
    assert isinstance(INCEPTION, InceptionArch)
