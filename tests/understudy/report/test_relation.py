import base64

import numpy as np
import pytest
import torch

from understudy.losses.semantic_relation import relation_loss
from understudy.report import relation
from understudy.report.relation import pack, relation_matrix, relations, side_for


def maps(channels, size=(6, 9), seed=0):
    return torch.randn(channels, *size, generator=torch.Generator().manual_seed(seed)).relu()


@pytest.mark.parametrize("centred", [True, False])
def test_what_is_shown_is_what_the_loss_compares(centred):
    teacher, student = maps(7), maps(4, seed=1)
    student[:, 2, 3] = 0  # a dead pixel, unless centred
    shown = [relation_matrix(features, centred) for features in (teacher, student)]
    pixels = shown[0].shape[0]
    l2n = (shown[0] - shown[1]).square().sum() / (2 * pixels)
    l1n = (shown[0] - shown[1]).abs().sum(1).mean() / pixels**0.5
    for norm, value in (("l2", l2n), ("l1", l1n)):
        assert relation_loss(teacher[None], student[None], norm, centred).item() == pytest.approx(value.item(), 1e-5)


def test_a_dead_pixel_is_related_to_none():
    features = maps(3)
    features[:, 1, 1] = 0
    assert relation_matrix(features, False)[10].abs().max() == 0


def test_a_row_has_length_one():
    assert torch.allclose(relation_matrix(maps(5), True).norm(dim=1), torch.ones(54, dtype=torch.float64))


def test_blocks_are_means_over_rows_and_columns():
    features, side = maps(5, (7, 9)), 3  # one line of pixels is left over
    whole = relation_matrix(features, True).view(7, 9, 7, 9)[:6, :, :6]
    means = whole.reshape(2, 3, 3, 3, 2, 3, 3, 3).mean((1, 3, 5, 7)).reshape(6, 6)
    assert torch.allclose(relation_matrix(features, True, side), means)


def test_packed_entries_are_within_half_a_step():
    matrix = relation_matrix(maps(5), True)
    packed = pack(matrix)
    read = np.frombuffer(base64.b64decode(packed["rows"]), np.uint8).reshape(54, 54).astype(float) - 128
    scale = np.array(packed["scale"])[:, None]
    assert np.abs(read / 127 * scale - matrix.numpy()).max() <= (scale / 127 * 0.501).max()
    assert pack(torch.zeros(2, 2))["scale"] == [0, 0]


def test_the_page_stays_bounded_for_large_images():
    assert side_for((16, 16)) == 1 and side_for((24, 32)) == 1 and side_for((64, 64)) == 3
    found = relations({name: torch.rand(8, 4, 64, 128) for name in ("teacher", "student")}, True)
    assert found["rows"] * found["columns"] <= relation.CELLS
    assert len(found["images"]) >= relation.FEWEST
    stored = sum(len(packed["rows"]) for image in found["images"] for packed in image.values())
    assert stored <= relation.BYTES * 4 / 3 + 100
    assert len(relations({"teacher": torch.rand(8, 4, 16, 16)}, True)["images"]) == 8
