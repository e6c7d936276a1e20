"""mIoU by a user's network: against hand computations, torch's resize and Pillow's, and the other resamples."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx_segmentation as made
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from understudy.data.prepare import open_source, prepare
from understudy.data.prepared import DatasetInfo, Split, load_info, load_split
from understudy.data.source import Wanted
from understudy.errors import UserError
from understudy.metrics import protocol
from understudy.metrics.bootstrap import draw, resample
from understudy.metrics.score import Observation, Scorer, differences
from understudy.metrics.segmentation import confusion_matrices
from understudy.metrics.segmentation_scoring import SegmentationScoring, to_labels
from understudy.params.evaluate import Originals

INFO = DatasetInfo("tiny", "labels", (4, 4), ("void", "a", "b", "c"), ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9)),
                   0, "CC0", {"train": 1, "val": 1, "test": 2})  # fmt: skip
MIOU, ACCURACY = "miou", "pixel_accuracy"


def sized(size: tuple[int, int], **changed) -> DatasetInfo:
    return dataclasses.replace(INFO, size=size, **changed)


def split(labels: Tensor) -> Split:
    """Of label maps uint8 [N, H, W]; the photos are those that `channels` reads without a mistake."""
    return Split(tuple(f"image{index}" for index in range(len(labels))), labels, drawn(labels))


def drawn(labels: Tensor) -> Tensor:
    """Photos uint8 [N, 3, H, W] in which a is red, b green and c blue; void is red too."""
    return F.one_hot((labels.long() - 1).clamp(min=0), 3).permute(0, 3, 1, 2).to(torch.uint8) * 255


def values(asked, info: DatasetInfo, photos: Tensor, pairs: Split) -> list[float]:
    """Value, low and high of mIoU, then the pixel accuracy."""
    scoring = SegmentationScoring(asked, info)
    found = scoring.score({"one": photos}, pairs, draw(len(pairs), 40, 0))["one"]
    miou, accuracy = (found[name] for name in scoring.names)
    assert miou.n == accuracy.n == len(pairs)
    return [miou.value, miou.low, miou.high, accuracy.value]


@pytest.fixture
def path(tmp_path) -> Path:
    return made.channels(tmp_path / "net.onnx")


@pytest.fixture
def labels() -> Tensor:
    return torch.randint(0, 4, (5, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_perfect_photos_score_one_whatever_they_show_where_labels_are_ignored(path, labels):
    pairs = split(labels)
    assert values(made.asked(path), INFO, pairs.photos, pairs) == [1, 1, 1, 1]


def test_edges_of_instances_are_not_scored(path, labels):
    pairs = split(labels)
    edged = dataclasses.replace(pairs, inputs=torch.stack([labels, labels % 2], dim=1))
    photos = drawn(labels.flip(1))
    info = sized((4, 4), edges=True)
    assert values(made.asked(path), info, photos, edged) == values(made.asked(path), INFO, photos, pairs)


def test_a_score_computed_by_hand(path):
    """One image: a a b b / a v b c. Read: a b b b / a b b b."""
    pairs = split(torch.tensor([[[1, 1, 2, 2], [1, 0, 2, 3]]], dtype=torch.uint8))
    photos = drawn(torch.tensor([[[1, 2, 2, 2], [1, 2, 2, 2]]]))
    # a: 2 of 3; b: 3 of 3 and 2 too many; c: 0 of 1
    expected = (2 / 3 + 3 / 5 + 0) / 3
    assert values(made.asked(path), sized((2, 4)), photos, pairs)[::3] == pytest.approx([expected, 5 / 7], rel=1e-12)


def test_classes_of_the_network_are_merged_left_out_or_missed(tmp_path):
    """Network ids 0 and 1 are both a, 2 is none of the data's; b and c it does not know."""
    asked = made.asked(made.channels(tmp_path / "net.onnx"), classes=("a", "a", None))
    pairs = split(torch.tensor([[[1, 1, 2, 2], [1, 1, 0, 3]]], dtype=torch.uint8))
    red, green, blue = 1, 2, 3
    photos = drawn(torch.tensor([[[red, green, red, blue], [green, blue, red, red]]]))
    assert values(asked, sized((2, 4)), photos, pairs)[::3] == [3 / 4, 3 / 4]


def test_what_the_network_takes_for_an_ignored_class_is_a_miss(tmp_path):
    asked = made.asked(made.channels(tmp_path / "net.onnx"), classes=("a", "b", "void"))
    pairs = split(torch.tensor([[[1, 1, 2, 2]]], dtype=torch.uint8))
    assert values(asked, sized((1, 4)), drawn(torch.tensor([[[1, 3, 2, 2]]])), pairs)[::3] == [3 / 4, 3 / 4]


def test_an_index_to_ignore_may_be_beyond_the_classes(path):
    info = sized((1, 4), classes=("a", "b", "c"), palette=INFO.palette[1:], ignore=255)
    pairs = Split(("one",), torch.tensor([[[0, 1, 2, 255]]], dtype=torch.uint8), torch.zeros(1))
    assert values(made.asked(path), info, drawn(torch.tensor([[[1, 2, 3, 1]]])), pairs) == [1, 1, 1, 1]


def test_scores_come_to_the_labels_size_bilinearly_before_the_largest_is_taken():
    """The papers' sizes. Pillow's bilinear filter is theirs; it equals torch's where it enlarges."""
    scores = torch.randn(19, 256, 256, generator=torch.Generator().manual_seed(0)).log_softmax(0)
    found = to_labels(scores, (1024, 2048))
    whole = F.interpolate(scores[None], (1024, 2048), mode="bilinear", align_corners=False)[0]
    assert torch.equal(found, whole.argmax(0))
    maps = [Image.fromarray(one.numpy()).resize((2048, 1024), Image.Resampling.BILINEAR) for one in scores]
    by_pillow = np.stack([np.asarray(one) for one in maps]).argmax(0)
    assert (found.numpy() != by_pillow).mean() < 1e-5
    assert (found != to_labels(scores.argmax(0), (1024, 2048))).float().mean() > 0.05  # the test would see it


def test_classes_come_to_the_labels_size_by_the_nearest_pixel():
    ids = torch.randint(0, 300, (6, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_labels(ids, (12, 24)), ids.repeat_interleave(2, 0).repeat_interleave(3, 1))
    by_pillow = Image.fromarray(ids.numpy().astype(np.int32)).resize((5, 4), Image.Resampling.NEAREST)
    assert np.array_equal(to_labels(ids, (4, 5)).numpy(), np.asarray(by_pillow))


def test_coarse_scores_are_compared_at_the_prepared_size(tmp_path):
    """A network of stride 2 over stripes two pixels wide loses nothing but where stripes meet."""
    asked = made.asked(made.channels(tmp_path / "net.onnx", stride=2))
    pairs = split(torch.tensor([1, 1, 2, 2, 3, 3, 1, 1], dtype=torch.uint8).expand(2, 4, 8).contiguous())
    assert values(asked, sized((4, 8)), pairs.photos, pairs) == [1, 1, 1, 1]


def test_intervals_and_differences_are_those_of_the_other_metrics_resamples(path):
    generator = torch.Generator().manual_seed(1)
    labels, student, teacher = torch.randint(0, 3, (3, 12, 6, 6), generator=generator).unbind()
    student = torch.where(torch.rand(12, 6, 6, generator=generator) < 0.5, labels, student)
    info = sized((6, 6), classes=("a", "b", "c"), palette=INFO.palette[1:], ignore=None)
    pairs = Split(tuple(map(str, range(12))), labels.to(torch.uint8), torch.zeros(1))
    scoring = SegmentationScoring(made.asked(path), info)
    photos = {"student": drawn(student + 1), "teacher": drawn(teacher + 1)}
    found = scoring.score(photos, pairs, draw(len(pairs), 50, 7))
    features = torch.zeros(12, 8)
    seen = {name: Observation(features, confusion_matrices(labels, read, 3, None))
            for name, read in (("student", student), ("teacher", teacher))}  # fmt: skip
    resamples = resample("labels", 12, 12, 50, seed=7)
    judged = {name: Scorer("labels", observation, resamples).score_real() for name, observation in seen.items()}
    for model in photos:
        for name, other in zip(scoring.names, judged[model].values(), strict=True):
            assert found[model][name].plain() == other.plain()
            assert torch.equal(found[model][name].resampled, other.resampled)
    own, other = differences(found["student"], found["teacher"]), differences(judged["student"], judged["teacher"])
    assert [difference.plain() for difference in own.values()] == [difference.plain() for difference in other.values()]


def test_names_tell_file_reading_size_and_labels(path, tmp_path):
    asked = made.asked(path)
    digits = asked.sha256[:8]
    names = SegmentationScoring(asked, INFO).names
    reading = names[0].split("_")[2]
    assert names == (f"miou_onnx{digits}_{reading}_noresize_prepared_test",
                     f"pixel_accuracy_onnx{digits}_{reading}_noresize_prepared_test")  # fmt: skip
    other = dataclasses.replace(asked, size=(8, 16), originals=Originals(str(tmp_path), ".png"))
    assert SegmentationScoring(other, INFO).names[0] == f"miou_onnx{digits}_{reading}_bilinear8x16_original_test"
    for changed in ({"std": (1.0, 1.0, 2.0)}, {"classes": ("a", "b", None)}):
        assert SegmentationScoring(dataclasses.replace(asked, **changed), INFO).names[0] != names[0]
    moved = path.rename(tmp_path / "moved.onnx")
    assert SegmentationScoring(dataclasses.replace(asked, network=str(moved)), INFO).names == names


def test_its_names_are_metrics_and_others_are_none(path):
    for name in SegmentationScoring(made.asked(path, size=(8, 16)), INFO).names:
        assert protocol.metric(name) == protocol.Metric(name, "higher", largest=1)
        assert protocol.scored([name, protocol.MIOU]) == [protocol.metric(protocol.MIOU), protocol.metric(name)]
    for name in (
        "miou_onnx0123abcd_noresize_prepared_test",
        "miou_onnx0123abcd_0123abcd_noresize_test",
        "miou_onnx0123abcd_0123abcd_bilinear_prepared_test",
        "iou_onnx0123abcd_0123abcd_noresize_prepared_test",
        "miou_onnx0123ABCD_0123abcd_noresize_prepared_test",
    ):
        assert protocol.find(name) is None


@pytest.mark.parametrize("kind", ["photos", "unpaired"])
def test_data_without_label_maps_are_refused(kind, path):
    info = sized((4, 4), kind=kind, classes=(), palette=(), ignore=None)
    with pytest.raises(UserError, match=r"evaluate\.segmentation: data set tiny translates photos.*set it to null"):
        SegmentationScoring(made.asked(path), info)


def test_classes_that_the_data_do_not_have_are_named(path):
    with pytest.raises(UserError, match=r"classes: d is no class of data set tiny, which has void, a, b, c; null"):
        SegmentationScoring(made.asked(path, classes=("a", "b", "d")), INFO)
    with pytest.raises(UserError, match=r"classes: names no class that is scored; void is left out"):
        SegmentationScoring(made.asked(path, classes=("void", None, None)), INFO)


# The papers' protocol: prepared at 256 x 256, compared at 1024 x 2048.


@pytest.fixture
def stripes() -> Tensor:
    """Upright stripes, so that the nearest pixel's class has the largest weight: uint8 [2, 256, 256]."""
    columns = torch.randint(0, 4, (2, 1, 256), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    return columns.expand(2, 256, 256).contiguous()


@pytest.fixture
def originals(stripes, tmp_path) -> Originals:
    """gtFine's folders, with other files among them."""
    for index, label in enumerate(stripes):
        city = tmp_path / f"gtFine/city{index}"
        city.mkdir(parents=True)
        full = label.repeat_interleave(4, 0).repeat_interleave(8, 1).numpy()
        Image.fromarray(full).save(city / f"image{index}_labelIds.png")
        Image.fromarray(full).save(city / f"image{index}_instanceIds.png")
        (city / f"another{index}_labelIds.png").write_bytes(b"of another split")
    return Originals(str(tmp_path / "gtFine"), "_labelIds.png")


@pytest.mark.slow
def test_original_labels_are_compared_at_their_own_size(path, stripes, originals):
    pairs, info = split(stripes), sized((256, 256))
    asked = made.asked(path, originals=originals)
    assert values(asked, info, pairs.photos, pairs) == [1, 1, 1, 1]
    photos = pairs.photos.roll(1, 3)
    said = F.interpolate(photos / 255, (1024, 2048), mode="bilinear", align_corners=False).argmax(1) + 1
    truth = stripes.repeat_interleave(4, 1).repeat_interleave(8, 2)
    expected = (said == truth)[truth != 0].double().mean().item()
    assert values(asked, info, photos, pairs)[3] == expected


@pytest.mark.slow
def test_originals_that_are_not_the_prepared_ones_are_named(path, stripes, originals):
    pairs, info = split(stripes), sized((256, 256))

    def refusal() -> str:
        with pytest.raises(UserError, match=r"evaluate\.segmentation\.originals: ") as caught:
            values(made.asked(path, originals=originals), info, pairs.photos, pairs)
        return str(caught.value)

    file = Path(originals.folder) / "city1/image1_labelIds.png"
    content = file.read_bytes()
    file.write_bytes(content[:100])
    assert f"{file}: corrupt or truncated" in refusal()
    Image.fromarray(np.zeros((1024, 2048), np.uint8)).save(file)
    assert f"{file}: brought to 256 x 256 it is not the prepared label map of image1" in refusal()
    twin = file.parent.parent / "city0" / file.name
    twin.write_bytes(content)
    assert f"{file}: has the same name as {twin}" in refusal()
    file.unlink()
    twin.unlink()
    assert "holds no image1_labelIds.png, at any depth (1 of 2 are missing)" in refusal()


NINETEEN = ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
            "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")  # fmt: skip
TRAIN_IDS = {7: 0, 8: 1, 11: 2, 26: 13}  # of the labels drawn below: road, sidewalk, building, car


def test_cityscapes_as_prepared_is_compared_with_gtfine_over_nineteen_classes(tmp_path):
    generator = np.random.default_rng(0)
    full = {}
    for split_of, cities in {"train": ("aachen", "bochum", "krefeld", "ulm"), "val": ("lindau", "munster")}.items():
        for city in cities:
            ids = np.repeat(generator.choice((0, 1, 7, 8, 11, 26), (8, 16)), 4, 1).repeat(4, 0).astype(np.uint8)
            full[city] = ids
            for folder, suffix, picture in (
                ("leftImg8bit", "leftImg8bit", np.stack([ids] * 3, 2)),
                ("gtFine", "gtFine_labelIds", ids),
            ):
                file = tmp_path / "set" / folder / split_of / city / f"{city}_000000_000019_{suffix}.png"
                file.parent.mkdir(parents=True)
                Image.fromarray(picture).save(file)
    made_of = open_source(tmp_path / "set", Wanted("labels", None))
    prepare(made_of, (8, 16), None, tmp_path / "prepared", lambda done, total: None)
    info = load_info(tmp_path / "prepared/dataset.json")
    pairs = load_split(tmp_path / "prepared/test.zip", info)
    asked = made.asked(made.channels(tmp_path / "net.onnx", count=19), classes=NINETEEN,
                       originals=Originals(str(tmp_path / "set/gtFine/val"), "_gtFine_labelIds.png"))  # fmt: skip
    photos = torch.randint(0, 256, (2, 3, 8, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    # By the definition, pixel for pixel; the network says one of the first three.
    said = F.interpolate(photos / 255, (32, 64), mode="bilinear", align_corners=False).argmax(1).numpy()
    ids = np.stack([full["lindau"], full["munster"]])
    scored = np.isin(ids, list(TRAIN_IDS))
    ious = [
        ((ids == own) & (said == train)).sum() / ((ids == own) | ((said == train) & scored)).sum()
        for own, train in TRAIN_IDS.items()
    ]
    right = sum(((ids == own) & (said == train)).sum() for own, train in TRAIN_IDS.items())
    expected = [np.mean(ious), right / scored.sum()]
    assert values(asked, info, photos, pairs)[::3] == pytest.approx(expected, rel=1e-12)
    edged = dataclasses.replace(pairs, inputs=torch.stack([pairs.inputs, pairs.inputs % 2], dim=1))
    assert values(asked, dataclasses.replace(info, edges=True), photos, edged) == values(asked, info, photos, pairs)
    assert ious[3] == 0 and 0.1 < expected[0] < 0.5
