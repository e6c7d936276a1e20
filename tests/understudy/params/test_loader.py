"""Every mistake in a parameter file is one error that names the file and the key."""

import copy
import dataclasses
from typing import Any

import pytest
import yaml

from understudy.errors import UserError
from understudy.metrics.protocol import FRECHET, MIOU
from understudy.params.active import SECTIONS, load_all
from understudy.params.loader import load, read
from understudy.params.schedule import Schedule
from understudy.params.teacher import Teacher


@pytest.fixture(scope="module")
def shipped(repo) -> dict[str, Any]:
    return read(repo / "params.yaml")


def place(values: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    *sections, last = key.split(".")
    for section in sections:
        values = values[section]
    return values, last


@pytest.fixture
def load_with(shipped, tmp_path):
    """Load the shipped parameters with some values replaced."""

    def loading(changes: dict[str, Any]) -> dict[type, Any]:
        values = copy.deepcopy(shipped)
        for key, value in changes.items():
            folder, last = place(values, key)
            folder[last] = value
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(values))
        return load_all(tmp_path / "p.yaml")

    return loading


FID = {"weights": "w.pth", "sha256": "0" * 64, "resize": ["bilinear299"], "references": ["test"]}
NET = {"network": "net.onnx", "sha256": "0" * 64, "layout": "NCHW", "mean": [0, 0, 0], "std": [1, 1, 1], "size": None,
       "output": "logits", "gives": "scores", "classes": ["road", None], "originals": None}  # fmt: skip
NETWORK = "evaluate.segmentation"
BAD = {
    "unknown key": ("teacher.nfg", 32, "teacher: unknown key nfg; known keys: source, family, encoding, ngf"),
    "unknown nested key": ("teacher.schedule.epochs", 3, "teacher.schedule: unknown key epochs"),
    "text for a number": ("judge.learning_rate", "2e-4", r"judge.learning_rate: .* found '2e-4' \(write 2.0e-4"),
    "text for an integer": ("teacher.ngf", "32", "teacher.ngf: expected int, found '32'"),
    "fraction for an integer": ("teacher.ngf", 32.5, "teacher.ngf: expected int, found 32.5"),
    "boolean for an integer": ("base.seed", True, "base.seed: expected int, found True"),
    "boolean for a number": ("teacher.lambda_gan", True, "teacher.lambda_gan: expected a number, found True"),
    "integer for a boolean": ("distill.relation.centred", 1, "distill.relation.centred: expected bool, found 1"),
    "number for text": ("prepare.source", 3, "prepare.source: expected str, found 3"),
    "nothing": ("teacher.ngf", None, "teacher.ngf: expected int, found None"),
    "no such choice": ("distill.alignment.form", "gcka", "distill.alignment.form: expected one of .*'gcka'"),
    "a boolean by accident": ("teacher.norm", True, r"teacher.norm: .* found True \(write it in quotes"),
    "a scalar for a list": ("prepare.size", 64, "prepare.size: expected a list, found 64"),
    "a list too short": ("prepare.size", [64], "prepare.size: expected 2 values, found 1"),
    "a wrong list entry": ("prepare.size", [64, "64"], r"prepare.size\[1\]: expected int, found '64'"),
    "a scalar for a section": ("teacher.schedule", 3, "teacher.schedule: expected a mapping, found int"),
    "a scalar for a mapping": ("check.min_images", 3, "check.min_images: expected dict, found 3"),
    "a wrong mapping entry": ("check.min_images", {"train": "x"}, "check.min_images.train: .* int"),
    "a split too few": ("check.min_images", {"train": 1}, "check.min_images: expected the keys train, val, test"),
    "a negative seed": ("base.seed", -1, "base.seed: must be in"),
    "a size that cannot be halved twice": ("prepare.size", [64, 66], "prepare.size: multiples of 4"),
    "no width": ("teacher.ngf", 0, "teacher.ngf: must be positive"),
    "blocks not in thirds": ("teacher.inception.blocks", 7, "teacher.inception.blocks: must be a multiple of 3"),
    "no block": ("teacher.resnet.blocks", 0, "teacher.resnet.blocks: must be a multiple of 3"),
    "one level": ("teacher.unet.levels", 1, "teacher.unet.levels: must be at least 2"),
    "no such family": ("teacher.family", "stylegan", "teacher.family: expected one of inception, resnet, unet, spade"),
    "a family without its section": ("teacher.unet", None, "teacher.unet: expected a mapping, found nothing"),
    "too strong a reduction": ("teacher.inception.reduction", 999, "teacher.inception.reduction: leaves no channel"),
    "no reduction": ("teacher.spade.reduction", 0, "teacher.spade.reduction: must be positive"),
    "not a number": ("teacher.lambda_recon", float("nan"), "teacher.lambda_recon: must not be negative, found nan"),
    "no learning rate": ("student.schedule.learning_rate", 0.0, "student.schedule.learning_rate: must be positive"),
    "a decay of one": ("student.schedule.ema_decay", 1.0, r"student.schedule.ema_decay: must be in \[0, 1\)"),
    "no process": ("teacher.schedule.processes", 0, "teacher.schedule.processes: must be positive, or null"),
    "no image at once": ("student.schedule.micro_batch", -1, "student.schedule.micro_batch: must be positive, or null"),
    "between two records": ("student.schedule.validate_every", 15, r"student.schedule.validate_every: .* of 10"),
    "a negative weight": ("distill.output_weight", -1.0, "distill.output_weight: must not be negative"),
    "a negative nested weight": ("distill.alignment.weight", -1, "distill.alignment.weight: must not be negative"),
    "nothing to spend": ("prune.budget.macs_true_g", 0.0, "prune.budget.macs_true_g: must be positive"),
    "no budget": ("prune.budget.macs_true_g", None, "prune.budget: one of .* is a number .* found none"),
    "two budgets": ("prune.budget.latency_ms", 8.0, "prune.budget: one of .*; found macs_true_g and latency_ms"),
    "no end of a budget": ("prune.budget.latency_ms", float("inf"), "prune.budget.latency_ms: must be positive, f"),
    "no such budget": ("prune.budget.macs_g", 1.0, "prune.budget: unknown key macs_g; known keys: macs_true_g"),
    "too few resamples": ("evaluate.resamples", 39, "evaluate.resamples: at least 40"),
    "weights without a hash": ("evaluate.inception", {**FID, "sha256": None}, "evaluate.inception.sha256: expected"),
    "half a hash": ("evaluate.inception", {**FID, "sha256": "67"}, "evaluate.inception.sha256: expected the 64 digits"),
    "no such resize": ("evaluate.inception", {**FID, "resize": ["x"]}, r"evaluate.inception.resize\[0\]: expected"),
    "no reference": ("evaluate.inception", {**FID, "references": []}, "evaluate.inception.references: name at"),
    "a reference twice": ("evaluate.inception", {**FID, "references": ["test"] * 2}, "evaluate.inception.refer.*names"),
    "an ONNX file without a hash": (NETWORK, {**NET, "sha256": "0"}, "evaluate.segmentation.sha256: exp"),
    "no such layout": (NETWORK, {**NET, "layout": "CHW"}, "evaluate.segmentation.layout: expected one"),
    "a mean of two": (NETWORK, {**NET, "mean": [0, 0]}, "evaluate.segmentation.mean: expected 3 values"),
    "a mean of nothing": (NETWORK, {**NET, "mean": [float("nan")] * 3}, "evaluate.segmentation.mean: ex"),
    "no spread": (NETWORK, {**NET, "std": [0, 1, 1]}, "evaluate.segmentation.std: must be positive"),
    "an empty size": (NETWORK, {**NET, "size": [0, 8]}, "evaluate.segmentation.size: must be positive"),
    "no class": (NETWORK, {**NET, "classes": [None]}, "evaluate.segmentation.classes: name at least"),
    "a class by number": (NETWORK, {**NET, "classes": [7]}, r"evaluate.segmentation.classes\[0\]: exp"),
    "originals by path": (NETWORK, {**NET, "originals": "gtFine"}, "evaluate.segmentation.originals: ex"),
    "a teacher without a hash": ("teacher.source", {"weights": "G.pth"}, "teacher.source: missing key sha256"),
    "an empty range": ("check.brightness", [0.5, 0.5], "check.brightness: expected 0 <= low < high <= 1"),
    "no name": ("registry.model", "a/b", "registry.model: letters, digits"),
    "an unknown metric": ("gate.fid", {"max": 1}, "gate: unknown metric fid"),
    "a bound that is no number": ("gate.macs_true_g", {"max": "1"}, "gate.macs_true_g.max: expected a finite number"),
}  # fmt: skip


@pytest.mark.parametrize(("key", "value", "message"), BAD.values(), ids=BAD)
def test_a_mistake_is_named_with_its_file_and_key(key, value, message, load_with):
    with pytest.raises(UserError, match=rf"p\.yaml: {message}") as caught:
        load_with({key: value})
    assert caught.value.code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["photos", "unpaired"])
def test_a_gate_on_metrics_of_another_kind_is_refused_before_anything_trains(kind, load_with):
    with pytest.raises(UserError, match=rf"p\.yaml: gate: {MIOU}.* cannot be had of data of kind {kind}"):
        load_with({"prepare.kind": kind, "gate": {MIOU: {"min": 0.1}, "macs_true_g": {"max": 1}}})
    assert load_with({"prepare.kind": kind, "gate": {FRECHET[kind]: {"max": 1}, "macs_true_g": {"max": 1}}})


def test_steps_must_add_up_to_something(load_with):
    with pytest.raises(UserError, match=r"p\.yaml: teacher\.schedule\.constant_steps: constant_steps \+ decay_steps"):
        load_with({"teacher.schedule.constant_steps": 0, "teacher.schedule.decay_steps": 0})


@pytest.mark.parametrize("family", ["spade", "gaugan"])
def test_a_decoder_has_batch_norms_and_a_channel_in_each_branch(family, load_with):
    assert load_with({"teacher.family": family, "teacher.norm": "batch"})[Teacher].family == family
    with pytest.raises(UserError, match=rf"p\.yaml: teacher\.norm: {family} has batch norms alone, found instance"):
        load_with({"teacher.family": family, "teacher.norm": "instance"})
    narrow = {"teacher.family": family, "teacher.ngf": 8, "teacher.spade.reduction": 9}
    if family == "gaugan":
        assert load_with(narrow)
    else:
        with pytest.raises(UserError, match=r"p\.yaml: teacher\.spade\.reduction: leaves no channel"):
            load_with(narrow)


@pytest.mark.parametrize("section", ["teacher", "student"])
def test_a_training_must_have_something_to_learn_from(section, load_with):
    with pytest.raises(UserError, match=rf"p\.yaml: {section}\.lambda_recon: .*lambda_gan"):
        load_with({f"{section}.lambda_gan": 0.0, f"{section}.lambda_recon": 0.0})
    assert load_with({f"{section}.lambda_gan": 0.0})


def test_each_missing_key_is_named(shipped, tmp_path):
    for field in dataclasses.fields(Schedule):
        values = copy.deepcopy(shipped)
        del values["teacher"]["schedule"][field.name]
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(values))
        with pytest.raises(UserError, match=rf"p\.yaml: teacher\.schedule: missing key {field.name}"):
            load(tmp_path / "p.yaml", (Teacher,))


def test_values_arrive_in_their_types_and_whole_numbers_may_stand_for_fractions(load_with, shipped):
    loaded = load_with({"teacher.lambda_recon": 100, "prepare.size": [64, 128]})
    assert set(loaded) == set(SECTIONS)
    teacher = loaded[Teacher]
    assert teacher.lambda_recon == 100.0 and isinstance(teacher.lambda_recon, float)
    assert isinstance(teacher.schedule, Schedule) and teacher.schedule.steps == (
        shipped["teacher"]["schedule"]["constant_steps"] + shipped["teacher"]["schedule"]["decay_steps"]
    )
    prepare = next(value for section, value in loaded.items() if section.__name__ == "Prepare")
    assert prepare.size == (64, 128)
    with pytest.raises(dataclasses.FrozenInstanceError):
        teacher.ngf = 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"teacher: [", "cannot be read as YAML"),
        (b"\xff\xff", "cannot be read as YAML"),
        (b"- 1\n", "expected a mapping of sections, found list"),
        (b"", "expected a mapping of sections, found NoneType"),
        (None, "no such parameter file"),
    ],
    ids=["cut", "not-utf8", "list", "empty", "missing"],
)
def test_a_file_that_is_no_parameter_file_is_named(content, message, tmp_path):
    if content is not None:
        (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"p\.yaml: {message}"):
        read(tmp_path / "p.yaml")
