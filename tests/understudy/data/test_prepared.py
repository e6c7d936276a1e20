import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from understudy.data.prepared import (
    DatasetInfo,  # fmt: skip
    batch_indices,
    blank_inputs,
    class_plane,
    encode_inputs,
    load_info,
    load_split,
    mirror,
    show_inputs,
    to_bytes,
    to_unit,
    windows,
)
from understudy.errors import UserError

INFO = DatasetInfo(
    "tiny", "labels", (4, 6), ("road", "sky", "void"), ((255, 0, 51), (0, 102, 204), (0, 0, 0)), 2, "CC0", {}
)


def image_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def write_split(path: Path, names: list[str], shape: tuple[int, int] = (4, 6)) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (len(names), *shape, 3), np.uint8)
    labels = random.integers(0, 3, (len(names), *shape), np.uint8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, photo, label in zip(names, photos, labels, strict=True):
            archive.writestr(f"photo/{name}.png", image_bytes(photo))
            archive.writestr(f"input/{name}.png", image_bytes(label))
    return photos, labels


def test_a_split_comes_back_pixel_by_pixel_sorted_by_name(tmp_path):
    photos, labels = write_split(tmp_path / "train.zip", ["b", "a b", "ä"])
    pairs = load_split(tmp_path / "train.zip", INFO)
    assert pairs.names == ("a b", "b", "ä") and len(pairs) == 3
    order = [1, 0, 2]
    assert pairs.photos.dtype == pairs.inputs.dtype == torch.uint8
    assert np.array_equal(pairs.photos.permute(0, 2, 3, 1).numpy(), photos[order])
    assert np.array_equal(pairs.inputs.numpy(), labels[order])


def test_wherever_an_archive_is_damaged_the_error_names_it(tmp_path):
    """Each byte in turn, and each length: pixels are never read wrong, and nothing but a UserError comes out."""
    whole = tmp_path / "whole.zip"
    write_split(whole, ["a"])
    content, truth = whole.read_bytes(), load_split(whole, INFO)
    damaged = tmp_path / "train.zip"
    spoilt = [content[:length] for length in range(0, len(content), 3)]
    spoilt += [content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :] for i in range(len(content))]
    refused = 0
    for version in spoilt:
        damaged.write_bytes(version)
        try:
            pairs = load_split(damaged, INFO)
        except UserError as error:
            refused += 1
            assert str(error).startswith(f"{damaged}: ") and "dvc repro prepare" in str(error)
        else:  # a time stamp or an attribute: nothing that matters
            assert torch.equal(pairs.photos, truth.photos) and torch.equal(pairs.inputs, truth.inputs)
    assert refused > len(content) / 2


def test_an_archive_that_is_whole_and_wrong_is_named(tmp_path):
    path = tmp_path / "val.zip"
    with pytest.raises(UserError, match=r"val\.zip: no such split; `dvc repro prepare`"):
        load_split(path, INFO)
    photo, label = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)
    cases: dict[str, dict[str, np.ndarray]] = {
        "holds no input": {},
        "a.png is no pair": {"photo/a.png": photo},
        "mode L, expected RGB": {"photo/a.png": label, "input/a.png": label},
        "not of one size": {
            "photo/a.png": photo,
            "input/a.png": label,
            "photo/b.png": photo[:2],
            "input/b.png": label[:2],
        },
    }
    for message, entries in cases.items():
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in entries.items():
                archive.writestr(name, image_bytes(array))
        with pytest.raises(UserError, match=rf"val\.zip: .*{message}"):
            load_split(path, INFO)


def test_photos_are_inputs_too_and_unpaired_ones_may_be_more_than_their_targets(tmp_path):
    path, photo = tmp_path / "test.zip", np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("input/a.png", "input/b.png", "photo/z.png"):
            archive.writestr(name, image_bytes(photo))
    unpaired = replace(INFO, kind="unpaired", classes=(), palette=(), ignore=None)
    split = load_split(path, unpaired)
    assert split.names == ("a", "b") and len(split) == 2 and split.photos.shape == (1, 3, 4, 6)
    assert torch.equal(encode_inputs(split.inputs, "rgb", unpaired), to_unit(split.inputs))
    assert torch.equal(show_inputs(split.inputs, unpaired), split.inputs)
    with pytest.raises(UserError, match=r"a\.png is no pair"):
        load_split(path, replace(unpaired, kind="photos"))
    unpaired.require_fit(3, "rgb", "arch.json")
    with pytest.raises(UserError, match=r"one-hot, and data set tiny has photos; set teacher\.encoding to rgb"):
        unpaired.require_fit(3, "onehot", "arch.json")


def test_every_byte_survives_the_way_to_unit_range_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(values)
    assert unit.min() == -1 and unit.max() == 1
    assert torch.equal(to_bytes(unit), values)
    assert to_bytes(torch.tensor([-1.5, 1.5, 0.0])).tolist() == [0, 255, 128]
    assert torch.equal(to_bytes(unit.bfloat16().float()), to_bytes(unit.bfloat16()))


def test_one_hot_marks_the_class_of_each_pixel():
    labels = torch.tensor([[[0, 1], [2, 1]]], dtype=torch.uint8)
    encoded = encode_inputs(labels, "onehot", INFO)
    assert encoded.shape == (1, INFO.input_channels("onehot"), 2, 2) and encoded.dtype == torch.float32
    assert torch.equal(encoded.sum(1), torch.ones(1, 2, 2)) and torch.equal(encoded.argmax(1), labels.long())


def test_rgb_paints_each_pixel_in_the_palette():
    labels = torch.tensor([[[0, 1], [2, 1]]], dtype=torch.uint8)
    encoded = encode_inputs(labels, "rgb", INFO)
    assert encoded.shape == (1, INFO.input_channels("rgb"), 2, 2)
    assert to_bytes(encoded)[0, :, 0, 1].tolist() == [0, 102, 204]
    assert encoded[0, :, 1, 0].tolist() == [-1, -1, -1]


def test_edges_are_the_last_channel_of_what_a_network_sees():
    edged = replace(INFO, edges=True)
    labels = torch.tensor([[[0, 1], [2, 1]]], dtype=torch.uint8)
    inputs = torch.stack([labels, torch.tensor([[[1, 0], [0, 1]]], dtype=torch.uint8)], dim=1)  # [1, 2, 2, 2]
    assert torch.equal(class_plane(inputs), labels) and torch.equal(class_plane(labels), labels)
    for encoding, channels in (("onehot", 4), ("rgb", 4)):
        encoded = encode_inputs(inputs, encoding, edged)
        assert encoded.shape == (1, channels, 2, 2) and edged.input_channels(encoding) == channels
        assert encoded.dtype == torch.float32 and encoded[0, -1].tolist() == [[1, 0], [0, 1]]
        assert torch.equal(encoded[:, :-1], encode_inputs(labels, encoding, INFO))
    edged.require_fit(4, "onehot", "arch.json")
    with pytest.raises(UserError, match="takes 3 input channels, data set tiny gives 4"):
        edged.require_fit(3, "onehot", "arch.json")


def test_blank_inputs_are_as_those_of_a_split():
    photos = replace(INFO, kind="unpaired", classes=(), palette=(), ignore=None)
    for info, shape, encoding in (
        (INFO, (5, 4, 6), "onehot"),
        (replace(INFO, edges=True), (5, 2, 4, 6), "onehot"),
        (photos, (5, 3, 4, 6), "rgb"),
    ):
        inputs = blank_inputs(info, 5)
        assert inputs.dtype == torch.uint8 and inputs.shape == shape
        assert encode_inputs(inputs, encoding, info).shape == (5, info.input_channels(encoding), 4, 6)


def test_classes_and_edges_are_cut_and_mirrored_alike():
    places = torch.arange(30 * 26, dtype=torch.int32).view(30, 26).repeat(9, 1, 1)
    both = torch.stack([places, -places], dim=1)  # [9, 2, 30, 26]
    seen = mirror(windows(both, (24, 24), 1, 7), torch.arange(9) % 2 == 0)
    assert torch.equal(seen[:, 0], -seen[:, 1])
    assert torch.equal(seen[:, 0], mirror(windows(places, (24, 24), 1, 7), torch.arange(9) % 2 == 0))


def test_a_batch_is_a_pure_function_of_seed_and_step():
    later = batch_indices(10, 4, 0, 7)
    for step in range(7):
        batch_indices(10, 4, 0, step)
    torch.manual_seed(99)
    torch.rand(5)
    before = torch.get_rng_state()
    again = batch_indices(10, 4, 0, 7)
    assert all(torch.equal(a, b) for a, b in zip(later, again, strict=True))
    assert torch.equal(torch.get_rng_state(), before)  # and it draws from nobody else's generator
    assert not torch.equal(batch_indices(1000, 8, 1, 7)[0], batch_indices(1000, 8, 0, 7)[0])


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (7, 3), (3, 8), (5, 5), (1, 2)])
def test_every_pair_is_seen_equally_often_whatever_the_batch_size(count, batch_size):
    order = torch.cat([batch_indices(count, batch_size, 3, step)[0] for step in range(count)])
    assert torch.equal(torch.bincount(order, minlength=count), torch.full((count,), batch_size))
    for epoch in order.split(count):
        assert sorted(epoch.tolist()) == list(range(count))


def test_the_order_of_the_pairs_does_not_depend_on_the_batch_size():
    orders = [torch.cat([batch_indices(11, size, 5, s)[0] for s in range(24 // size)]) for size in (1, 3, 8)]
    assert torch.equal(orders[0], orders[1]) and torch.equal(orders[0], orders[2])
    epochs = orders[0][:22].view(2, 11)
    assert not torch.equal(epochs[0], epochs[1])


def test_half_of_the_images_are_mirrored_photo_and_label_alike():
    flips = torch.cat([batch_indices(50, 20, 0, step)[1] for step in range(100)])
    assert 0.45 < flips.float().mean() < 0.55
    labels = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    photos = labels[:, None].repeat(1, 3, 1, 1)
    chosen = torch.tensor([True, False])
    seen = mirror(labels, chosen)
    assert torch.equal(seen[0], labels[0].flip(1)) and torch.equal(seen[1], labels[1])
    assert torch.equal(mirror(photos, chosen), seen[:, None].repeat(1, 3, 1, 1))


def test_photos_without_partners_are_drawn_in_an_order_of_their_own():
    def drawn(side):
        return torch.cat([batch_indices(12, 5, 3, step, side)[0] for step in range(12)])

    inputs, photos = drawn("input"), drawn("photo")
    for epoch in photos.split(12):
        assert sorted(epoch.tolist()) == list(range(12))
    # Partners meet as often as chance has them: no order is that of the other side, in any epoch.
    assert not any(torch.equal(a, b) for a, b in zip(inputs.split(12), photos.split(12), strict=True))
    flips = [torch.cat([batch_indices(12, 5, 3, step, side)[1] for step in range(40)]) for side in ("input", "photo")]
    assert 0.3 < (flips[0] == flips[1]).float().mean() < 0.7


def test_windows_are_a_pure_function_and_alike_on_both_sides_of_a_pair():
    places = torch.arange(30 * 26, dtype=torch.int32).view(30, 26).repeat(9, 1, 1)  # each pixel knows where it is
    labels, photos = places, places[:, None].repeat(1, 3, 1, 1)
    before = torch.get_rng_state()
    cut = windows(labels, (24, 24), 1, 7)
    assert torch.equal(torch.get_rng_state(), before)
    assert cut.shape == (9, 24, 24) and windows(photos, (24, 24), 1, 7).shape == (9, 3, 24, 24)
    assert torch.equal(windows(photos, (24, 24), 1, 7), cut[:, None].repeat(1, 3, 1, 1))
    assert torch.equal(windows(labels, (24, 24), 1, 7), cut)
    for image in cut:  # a window, and not rows and columns from anywhere
        assert torch.equal(image - image[0, 0], places[0, :24, :24])
    assert len(cut[:, 0, 0].unique()) > 4
    for other in (
        windows(labels, (24, 24), 1, 8),
        windows(labels, (24, 24), 2, 7),
        windows(labels, (24, 24), 1, 7, "photo"),
    ):
        assert not torch.equal(other, cut)


def test_windows_reach_every_corner_and_leave_alone_what_has_the_size():
    places = torch.arange(6 * 5).view(6, 5).repeat(40, 1, 1)
    corners = torch.cat([windows(places, (4, 4), 0, step)[:, 0, 0] for step in range(10)])
    assert set(corners.tolist()) == {5 * y + x for y in range(3) for x in range(2)}
    counts = torch.bincount(corners)[corners.unique()]
    assert counts.min() > 30  # of 400 over 6 places
    assert windows(places, (6, 5), 0, 0) is places
    assert windows(places, (6, 4), 0, 0).shape == (40, 6, 4)


def test_a_description_is_read_or_named(tmp_path):
    path = tmp_path / "dataset.json"
    value = {"schema": 2, "name": "tiny", "kind": "labels", "size": [4, 6], "classes": list(INFO.classes),
             "palette": [list(c) for c in INFO.palette], "ignore": 2, "licence": "CC0", "counts": {}}  # fmt: skip
    path.write_text(json.dumps(value))
    assert load_info(path) == INFO and INFO.num_classes == 3
    assert load_info(path).stored_size("train") == (4, 6) and load_info(path).photo_counts is None
    path.write_text(json.dumps(value | {"counts": {"test": 3}, "photo_counts": {"test": 5}, "load_size": [5, 8]}))
    larger = load_info(path)
    assert (larger.stored_size("train"), larger.stored_size("val")) == ((5, 8), (4, 6))
    assert (larger.count("test", "input"), larger.count("test", "photo")) == (3, 5)
    assert larger.count_text("test") == "3 inputs, 5 photos"
    for spoilt, message in (
        ({**value, "load_size": [4]}, "not a data set description"),
        ({**value, "edges": 1}, "not a data set description.*true or false"),
        ([], "not a data set description"),
        ({**value, "schema": 1}, "schema 1, this version reads 2"),
        ({**value, "kind": "sounds"}, "not a data set description.*sounds"),
        ({**value, "size": 64}, "not a data set description"),
        ({**value, "palette": [[1, 2]]}, "not a data set description"),
        ({k: v for k, v in value.items() if k != "licence"}, "not a data set description.*licence"),
    ):
        path.write_text(json.dumps(spoilt))
        with pytest.raises(UserError, match=rf"dataset\.json: {message}"):
            load_info(path)
