"""Scores on the validation split of each kind of data, by the judge of that kind."""

import contextlib

import pytest
import torch
from three_kinds import write_prepared

from understudy.data.prepared import load_split
from understudy.data.terms import KINDS
from understudy.metrics.judge import build_judge, save_judge
from understudy.stage import Job
from understudy.train.validation import Validation


@pytest.fixture(params=KINDS)
def validation(request, tmp_path) -> Validation:
    info = write_prepared(tmp_path, request.param)
    torch.manual_seed(0)
    save_judge(build_judge(info, 4), tmp_path / "artifacts/judge")
    encoding = "onehot" if info.kind == "labels" else "rgb"
    return Validation(Job("teacher", tmp_path, {}), info, encoding, torch.device("cpu"), contextlib.nullcontext)


EXPECTED = {
    "labels": ["kid_segmenter_noresize_val", "miou_segmenter_noresize_val"],
    "photos": ["kid_inverter_noresize_val", "l1_to_input_inverter_noresize_val"],
    "unpaired": ["kid_classifier_noresize_val", "target_share_classifier_noresize_val"],
}


def test_names_are_of_the_kind_and_real_photos_score_best(validation):
    photos = validation.pairs.photos[: len(validation.pairs)].float() / 127.5 - 1
    real, grey = validation.score(lambda x: photos), validation.score(lambda x: torch.zeros(len(x), 3, 32, 32))
    assert list(real) == list(grey) == EXPECTED[validation.info.kind]
    assert [validation.selection, validation.reading] == list(validation.columns.values()) == list(real)
    assert real[validation.selection] < grey[validation.selection]


def test_a_copy_is_found_and_a_picture_drawn(validation, tmp_path):
    info = validation.info

    def copy(x: torch.Tensor) -> torch.Tensor:
        if info.kind != "labels":
            return x
        return torch.einsum("nkhw,kc->nchw", x, torch.tensor(info.palette) / 127.5 - 1)

    assert "output = input" in (validation.find_collapse(copy) or "")
    photos = validation.pairs.photos[: len(validation.pairs)].float() / 127.5 - 1
    assert validation.find_collapse(lambda x: photos) is None
    validation.draw(copy, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000


def test_the_validation_split_is_what_it_holds(validation, tmp_path):
    again = load_split(tmp_path / "artifacts/prepare/val.zip", validation.info)
    assert len(validation.real) == len(again.photos)
