"""The edges of instances, by their definition pixel for pixel."""

import numpy as np
import pytest

from understudy.data.edges import instance_edges, with_edges


def by_definition(ids: np.ndarray) -> np.ndarray:
    height, width = ids.shape
    edges = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            around = [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)]
            inside = [ids[v, u] for v, u in around if 0 <= v < height and 0 <= u < width]
            edges[y, x] = any(other != ids[y, x] for other in inside)
    return edges


@pytest.mark.parametrize("size", [(9, 13), (1, 8), (8, 1), (1, 1)])
def test_a_pixel_is_an_edge_where_one_of_four_neighbours_is_of_another_instance(size):
    for seed in range(5):
        ids = np.random.default_rng(seed).choice([7, 24001, 24002, 33000], size).astype(np.int32)
        for given in (ids, ids.astype(np.uint16), np.repeat(np.repeat(ids, 3, 0), 3, 1)):
            edges = instance_edges(given)
            assert edges.dtype == np.uint8 and np.array_equal(edges, by_definition(given))


def test_both_sides_of_a_boundary_are_edges_and_a_corner_is_none():
    ids = np.zeros((4, 5), np.int32)
    ids[2:, 3:] = 1
    assert instance_edges(ids).tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0]]


def test_mirrored_ids_have_mirrored_edges():
    ids = np.random.default_rng(0).integers(0, 3, (12, 17))
    assert np.array_equal(instance_edges(ids[:, ::-1]), instance_edges(ids)[:, ::-1])


def test_an_input_is_its_classes_and_its_edges():
    labels, ids = np.full((3, 4), 26, np.uint8), np.array([[26001, 26001, 26002, 26002]] * 3)
    both = with_edges(labels, ids)
    assert both.shape == (3, 4, 2) and both.dtype == np.uint8
    assert (both[..., 0] == 26).all() and both[..., 1].tolist() == [[0, 1, 1, 0]] * 3
