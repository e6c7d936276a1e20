"""The widths before and after pruning as the page draws them, for every family of generators."""

from dataclasses import replace

import pytest

from understudy.arch.branches import Branches
from understudy.arch.families import save
from understudy.arch.gaugan import GauganBlock, gaugan
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import SpadeBlock, spade
from understudy.arch.unet import unet
from understudy.errors import UserError
from understudy.files import sha256, write_json
from understudy.report.gather import Run
from understudy.report.widths import widths

INCEPTION = inception(8, 3, 4, "batch", "zero", "rgb", 3, (32, 32))
RESNET = resnet(8, 3, "batch", "zero", "rgb", 3, (32, 32))
UNET = unet(8, 3, "batch", "rgb", 3, (32, 32))
SPADE = spade(8, 6, "onehot", 5, (64, 64))
GAUGAN = gaugan(8, "onehot", 5, (64, 64))


def drawn(root, before, after):
    save(before, root / "artifacts/teacher/arch.json")
    save(after, root / "artifacts/prune/arch.json")
    return widths(Run(root))


@pytest.mark.parametrize(
    ("before", "after", "titles", "shown"),
    [
        (
            INCEPTION,
            replace(INCEPTION, blocks=(Branches({"3": 5}, {}), *INCEPTION.blocks[1:])),
            ["Stem and head", "Hidden widths of the branches"],
            ["conv 3x3", "5 of 8", "removed (8)", "block 2"],
        ),
        (
            RESNET,
            replace(RESNET, stem=(8, 9, 32), blocks=(7, 0, 32)),
            ["Stem and head", "Hidden widths of the blocks"],
            ["9 of 16", "7 of 32", "removed (32)", "32 of 32"],
        ),
        (
            UNET,
            replace(UNET, down=(8, 3, 5), up=(1, 8)),
            ["Widths by the size of the map"],
            ["16x16", "4x4", "3 of 16", "5 of 32", "1 of 16"],
        ),
        (
            SPADE,
            replace(SPADE, ngf=5, blocks=(SpadeBlock(Branches({"3": 7}, {}), Branches({}, {})), *SPADE.blocks[1:])),
            ["Widths of the blocks", "Hidden widths of the branches", "Hidden widths of the modulations"],
            ["80 of 128", "5 of 8", "7 of 21", "removed (21)", "G_middle_0", "up_3"],
        ),
        (
            GAUGAN,
            replace(GAUGAN, ngf=5, blocks=(GauganBlock(9, 0, 8, 0), *GAUGAN.blocks[1:])),
            ["Widths of the blocks", "Hidden widths of the blocks", "Hidden widths of the modulations"],
            ["80 of 128", "9 of 128", "removed (128)", "8 of 128"],
        ),
    ],
    ids=["inception", "resnet", "unet", "spade", "gaugan"],
)
def test_every_family_s_widths_are_drawn_and_read_aloud(before, after, titles, shown, tmp_path):
    found = drawn(tmp_path, before, after)
    assert [title for title, _ in found["drawings"]] == titles
    page = "".join(str(drawing) for _, drawing in found["drawings"])
    assert [text for text in shown if text not in page] == []
    assert "->" in found["diff"] and found["threshold"] is None


def test_what_was_ranked_by_what_is_said(tmp_path):
    write_json(tmp_path / "artifacts/prune/metrics.json", {"threshold": 0.5, "scores": "weight magnitude"})
    found = drawn(tmp_path, UNET, UNET)
    assert found["threshold"] == 0.5 and found["scores"] == "weight magnitude" and found["factor"] is None
    write_json(tmp_path / "artifacts/prune/metrics.json", {"factor": 0.25, "scores": "norm scales"})
    found = drawn(tmp_path, UNET, UNET)
    assert found["factor"] == 0.25 and found["threshold"] is None


def test_architectures_of_two_families_are_not_compared(tmp_path):
    with pytest.raises(UserError, match="cannot be compared"):
        drawn(tmp_path, UNET, RESNET)


def test_a_measured_latency_is_told_of_the_network_that_it_was_measured_of(tmp_path):
    assert drawn(tmp_path, UNET, UNET)["latency"] == ""
    arch, path = "artifacts/prune/arch.json", tmp_path / ".understudy/prune/latency.json"
    record = {"budget_ms": 8.0, "student_ms": 7.61, "teacher_ms": 31.4, "device": "cpu", "threads": 2}
    write_json(path, {**record, "files": {arch: sha256(tmp_path / arch)}})
    told = "7.61 ms of a budget of 8 ms, where the teacher took 31.4 ms (one image on cpu, 2 threads)"
    assert drawn(tmp_path, UNET, UNET)["latency"] == told
    for other in ({**record, "files": {arch: "0" * 64}}, {"files": None}, []):
        write_json(path, other)
        assert drawn(tmp_path, UNET, UNET)["latency"] == ""
