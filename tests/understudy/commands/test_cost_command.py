import json

import pytest
from toy_run import small_arch
from verbs import understudy

from understudy.arch import families as architecture
from understudy.arch.gaugan import gaugan
from understudy.arch.spade import spade
from understudy.errors import BAD_INPUT, OK


@pytest.mark.parametrize(
    ("arguments", "macs_true", "macs_legacy", "params"),
    [
        # CAT's tables, counted at 256 px.
        (["resnet9", "--ngf", 64, "--size", "256x256"], 49_551_507_456, 56_799_264_768, 11_378_179),
        (["inception", "--ngf", 64, "--size", "256x256"], 36_242_644_992, 43_490_402_304, 8_154_255),
        (["inception", "--norm", "batch"], 36_242_644_992, 43_490_402_304, 8_136_389),
        (["unet256"], 6_048_186_368, 18_140_364_800, 54_413_955),
        (["unet128"], 1_505_755_136, 4_513_071_104, 41_828_995),
        (["spade"], 109_773_614_880, 109_773_614_880, 55_592_325),
        (["gaugan"], 281_276_612_608, 281_276_612_608, 93_048_003),
    ],
)
def test_cost_gives_the_papers_counts(arguments, macs_true, macs_legacy, params, capsys):
    code, out, _ = understudy(capsys, "cost", "--model", *arguments, "--json")
    assert code == OK
    assert json.loads(out) == {"macs_true": macs_true, "macs_legacy": macs_legacy, "params": params}


def test_cost_in_words_has_the_same_numbers(capsys):
    _, out, _ = understudy(capsys, "cost", "--model", "resnet9")
    assert "56,799,264,768" in out and "49,551,507,456" in out and "11,378,179" in out and "norm instance" in out


def test_cost_follows_blocks_channels_and_size(capsys):
    def counted(*arguments):
        return json.loads(understudy(capsys, "cost", "--json", "--model", *arguments)[1])

    nine, six = counted("resnet9"), counted("resnet6")
    assert nine["macs_true"] - six["macs_true"] == 3 * 4_831_838_208  # a residual block of 256 channels at 64 px
    assert counted("inception", "--blocks", 6)["macs_true"] == 36_242_644_992 - 3 * 3_353_075_712
    assert counted("resnet9", "--size", "128x256")["macs_true"] * 2 == nine["macs_true"]
    assert counted("resnet9", "--input-channels", 4)["params"] - nine["params"] == 64 * 49
    assert counted("spade", "--size", "512x1024")["macs_true"] == 4 * counted("spade")["macs_true"]
    assert counted("gaugan", "--ngf", 32, "--input-channels", 13)["params"] < counted("gaugan")["params"]


@pytest.mark.parametrize("family", ["inception", "spade", "gaugan"])
def test_cost_of_a_file(family, tmp_path, capsys):
    arch = {
        "inception": small_arch(),
        "spade": spade(6, 6, "onehot", 5, (64, 64)),
        "gaugan": gaugan(6, "onehot", 5, (64, 64)),
    }[family]
    path = tmp_path / "arch.json"
    architecture.save(arch, path)
    own = json.loads(understudy(capsys, "cost", path, "--json")[1])
    size = f"{2 * arch.size[0]}x{arch.size[1]}"
    double = json.loads(understudy(capsys, "cost", path, "--size", size, "--json")[1])
    assert double["macs_true"] == 2 * own["macs_true"] and double["params"] == own["params"]
    net = architecture.build(arch)
    assert own["params"] == sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give an ARCH.json, or --model"),
        (["missing.json"], "missing.json: no such file"),
        (["missing.json", "--ngf", "8"], "--ngf describes a --model"),
        (["--model", "resnet9", "--blocks", "6"], "resnet9 has 9"),
        (["--model", "inception", "--blocks", "5"], "multiple of 3"),
        (["--model", "inception", "--ngf", "0"], "must be"),
        (["--model", "inception", "--ngf", "1"], "must be"),
        (["--model", "resnet9", "--size", "30x30"], "multiples of 4"),
        (["--model", "unet256", "--size", "128x128"], "multiples of 256"),
        (["--model", "unet128", "--blocks", "6"], "unet128 has 7"),
        (["--model", "resnet9", "--input-channels", "0"], "input_channels"),
        (["--model", "spade", "--size", "256x256", "--ngf", "5"], "reduction must be in"),
        (["--model", "gaugan", "--size", "256x300"], "multiples of 64"),
        (["--model", "gaugan", "--norm", "instance"], "gaugan has batch norms alone"),
        (["--model", "spade", "--blocks", "7"], "spade has 7"),
    ],
)
def test_cost_errors_are_one_line(arguments, message, capsys):
    code, out, err = understudy(capsys, "cost", *arguments)
    assert code == BAD_INPUT and out == ""
    assert err.startswith("understudy cost: ") and message in err and err.count("\n") == 1
