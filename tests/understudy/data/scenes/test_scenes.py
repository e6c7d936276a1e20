"""The drawn set: repeatable, every pair its own, and photos that follow from their label maps."""

import hashlib

import numpy as np
import pytest

from understudy.data.manifest import difference_hash
from understudy.data.scenes import weather
from understudy.data.scenes.classes import NAMES, PALETTE, Label
from understudy.data.scenes.draw import draw
from understudy.data.scenes.view import Camera, Canvas

SIZE = (64, 64)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw(0, "train", index, SIZE) for index in range(24)]


def test_same_seed_draws_the_same_pair_whatever_came_before(pairs: list) -> None:
    photo, label = draw(0, "train", 7, SIZE)
    assert np.array_equal(photo, pairs[7][0]) and np.array_equal(label, pairs[7][1])


def test_seed_split_and_index_each_give_another_street(pairs: list) -> None:
    photo = pairs[0][0].astype(int)
    for other in (draw(1, "train", 0, SIZE), draw(0, "test", 0, SIZE), draw(0, "val", 0, SIZE), pairs[1]):
        assert np.abs(photo - other[0]).mean() > 5


def test_no_two_pairs_are_alike(pairs: list) -> None:
    everything = pairs + [draw(0, split, index, SIZE) for split in ("val", "test") for index in range(4)]
    assert len({hashlib.sha256(photo.tobytes()).digest() for photo, _ in everything}) == len(everything)
    hashes = [difference_hash(photo) for photo, _ in everything]
    distances = [(int(a, 16) ^ int(b, 16)).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) >= 3
    assert min((a[1] != b[1]).mean() for i, a in enumerate(everything) for b in everything[:i]) > 0.02


@pytest.mark.parametrize("size", [(64, 64), (32, 80), (96, 48)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    photo, label = draw(3, "val", 1, size)
    assert (photo.shape, photo.dtype, label.shape, label.dtype) == ((*size, 3), np.uint8, size, np.uint8)
    assert {Label.ROAD, Label.SKY} <= set(np.unique(label))


def test_every_class_occurs_and_none_fills_the_view(pairs: list) -> None:
    shares = np.mean([np.bincount(label.ravel(), minlength=len(Label)) / label.size for _, label in pairs], axis=0)
    assert len(NAMES) == len(PALETTE) == len(set(PALETTE)) == len(Label) >= 8
    assert (shares > 0.0004).all()
    assert shares.max() < 0.5


def test_sky_is_above_and_road_below(pairs: list) -> None:
    for _, label in pairs:
        rows = {value: np.nonzero(label == value)[0].mean() for value in (Label.SKY, Label.ROAD)}
        assert rows[Label.SKY] < 28 and rows[Label.ROAD] > 36


def test_photo_follows_its_label_map_and_says_more(pairs: list) -> None:
    """Class means explain much of a photo; the rest is neither nothing nor noise: neighbours agree in it."""
    for photo, label in pairs:
        values = photo.astype(np.float64)
        rest = values - sum((label == v)[..., None] * values[label == v].mean(axis=0) for v in np.unique(label))
        assert rest.var() < 0.8 * values.var(axis=(0, 1)).mean()
        assert rest.std() > 3
    clear = [photo.astype(np.float64) for photo, label in pairs]
    noise = np.mean([(p[1:] - p[:-1])[:, :].var() for p in clear])
    assert noise < np.mean([p.var() for p in clear])


def test_weather_kinds_all_occur_and_their_chances_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    assert {weather.sample_kind(rng) for _ in range(300)} == set(weather.KINDS)
    assert sum(kind.chance for kind in weather.KINDS.values()) == pytest.approx(1)


def test_fog_hides_what_is_far() -> None:
    fog = weather.sample(np.random.default_rng(0), "fog")
    light = np.zeros((1, 2, 3), np.float32)
    near, far = weather.through_air(light, np.array([[1.0, 200.0]], np.float32), fog)[0]
    assert near.max() < 0.05
    assert np.allclose(far, fog.haze, rtol=0.02)


def test_surfaces_lie_in_perspective() -> None:
    """Focal length 100 px, eye at 2 m: a post 1 m to the right at 10 m is 10 px from the centre and stands 20 below."""
    canvas = Canvas(Camera(height=2.0, focal=100.0, horizon=50.0, centre=50.0), 100, 100)
    patch = canvas.face(10.0, (1.0, 2.0), (0.0, 1.0))
    assert patch is not None
    assert (patch.columns, patch.rows) == (slice(60, 70), slice(60, 70))
    wall = canvas.wall(1.0, (5.0, 10.0), (0.0, 2.0))
    assert wall is not None
    assert wall.columns == slice(60, 70)
    assert wall.along.max() <= 10.0 and wall.along.min() >= 5.0
    # The wall's foot is where the ground is: at the same depth the same row.
    rows, x, z = canvas.ground()
    column = 65
    foot = wall.rows.start + np.nonzero(wall.inside[:, column - 60])[0].max()
    assert abs(z[foot - rows.start, column] - wall.along[0, column - 60]) < 0.4
    assert abs(x[foot - rows.start, column] - 1.0) < 0.05


def test_nearer_paint_covers_what_is_behind() -> None:
    canvas = Canvas(Camera(2.0, 100.0, 50.0, 50.0), 100, 100)
    for z, label in ((20.0, Label.BUILDING), (10.0, Label.CAR)):
        patch = canvas.face(z, (-1.0, 1.0), (0.0, 2.0))
        assert patch is not None
        canvas.paint(patch, np.ones(3, np.float32), label, patch.inside)
    assert canvas.label[55, 50] == Label.CAR
    assert canvas.depth[55, 50] == 10.0
