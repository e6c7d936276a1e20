"""Confusion matrices and what is read from them, by hand-made label maps."""

import pytest
import torch

from understudy.metrics.segmentation import class_iou, confusion_matrices, mean_iou, pixel_accuracy


def test_perfect_labels_score_one():
    labels = torch.randint(0, 5, (3, 8, 6), generator=torch.Generator().manual_seed(0))
    total = confusion_matrices(labels, labels, 5, None).sum(0)
    assert mean_iou(total).item() == 1
    assert pixel_accuracy(total).item() == 1


def test_by_hand():
    labels = torch.tensor([[[0, 0, 0, 1]], [[1, 1, 2, 2]]])
    predicted = torch.tensor([[[0, 0, 1, 1]], [[1, 2, 2, 0]]])
    matrices = confusion_matrices(labels, predicted, 3, None)
    assert matrices.dtype == torch.int64
    assert matrices[0].tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert matrices[1].tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1]]
    assert class_iou(matrices.sum(0)).tolist() == pytest.approx([2 / 4, 2 / 4, 1 / 3])
    assert mean_iou(matrices.sum(0)).item() == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert pixel_accuracy(matrices.sum(0)).item() == pytest.approx(5 / 8)
    assert mean_iou(matrices).shape == (2,)


@pytest.mark.parametrize("ignore", [2, 255])
def test_ignored_pixels_count_nowhere(ignore):
    labels = torch.tensor([[[0, 0, 1, 1, ignore, ignore]]], dtype=torch.uint8)
    right = torch.tensor([[[0, 0, 1, 1, 0, 1]]])
    total = confusion_matrices(labels, right, 3, ignore).sum(0)
    assert mean_iou(total).item() == 1
    assert pixel_accuracy(total).item() == 1
    assert total.sum() == 4


def test_classes_without_a_true_pixel_are_no_part_of_the_mean():
    labels = torch.zeros(1, 2, 2, dtype=torch.uint8)
    predicted = torch.tensor([[[0, 0], [0, 3]]])
    total = confusion_matrices(labels, predicted, 4, None).sum(0)
    assert class_iou(total).isnan().tolist() == [False, True, True, True]
    assert mean_iou(total).item() == 0.75


def test_classes_out_of_range_and_unequal_shapes_are_refused():
    fine = torch.zeros(1, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"labels: a class outside 0\.\.2"):
        confusion_matrices(fine + 3, fine, 3, None)
    with pytest.raises(ValueError, match="expected equal"):
        confusion_matrices(fine, fine[:, :1], 3, None)
