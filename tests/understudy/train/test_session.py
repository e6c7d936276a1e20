"""A stage's training from its artifacts, and its scores on the validation split."""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_stage import ARCH, OBJECTIVE, png, write_inputs

from stages import baseline
from understudy.arch import families as architecture
from understudy.data.checked import mark
from understudy.data.edges import instance_edges, with_edges
from understudy.data.prepared import load_info, load_split, show_inputs
from understudy.errors import DATA_FAILED, UserError
from understudy.files import read_json, write_json
from understudy.metrics.judge import save_judge
from understudy.metrics.segmenter import Segmenter
from understudy.models.discriminators import PatchDiscriminator
from understudy.params.base import Base
from understudy.params.loader import parse
from understudy.params.objective import Objective
from understudy.params.runtime import Runtime
from understudy.params.schedule import Schedule
from understudy.params.student import Student
from understudy.stage import Job
from understudy.train import session as training
from understudy.train.log import read
from understudy.train.partners import Partners, save_partners
from understudy.train.setting import seeded
from understudy.train.validation import translate
from understudy.weights import load_generator


@pytest.fixture
def root(tmp_path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


def job(root: Path, seed: int = 0, lambda_gan: float = 1.0, micro_batch: int | None = None) -> Job:
    schedule = Schedule(10, 0, 2, 1e-3, 0.9, 10, 10, None, micro_batch)
    params = {Base: Base(seed), Runtime: Runtime("cpu", "fp32"), Student: Student(lambda_gan, 10.0, schedule),
              Objective: parse(Objective, OBJECTIVE, "objective")}  # fmt: skip
    return Job("baseline", root, params)


def test_the_plan_times_a_few_steps_and_changes_nothing(root):
    session = baseline.session(job(root))
    before = {name: value.clone() for name, value in session.state.tensors().items()}
    plan = session.plan()
    assert plan["images"] == "train 6, val 4, test 1" and plan["steps"] == 10 and plan["size"] == "32x32"
    assert "min (" in plan["expected time"] and "G legacy" in plan["MACs"]
    after = session.state.tensors()
    assert session.state.step == 0 and after.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_two_runs_are_the_same_and_leave_what_the_stage_promises(root):
    outputs = ["arch.json", "weights.safetensors", "curves.csv", "validation.csv", "samples.png", "metrics.json"]
    contents = []
    for _ in range(2):
        task = job(root)
        session = baseline.session(task)
        session.plan()
        session.run()
        contents.append([(root / "artifacts/baseline" / name).read_bytes() for name in outputs])
        log = task.scratch / session.fingerprint / "log.jsonl"
        assert [r["event"] for r in read(log)] == ["start", "step", "validation", "image", "end"]
        log.unlink()
        (kept,) = log.parent.glob("checkpoint-*")
        kept.unlink()
    assert contents[0] == contents[1]
    metrics = read_json(root / "artifacts/baseline/metrics.json")
    assert metrics["best_step"] == 10 and "kid_segmenter_noresize_val" in metrics
    assert (metrics["determinism"], metrics["precision"]) == ("bitwise", "fp32")
    arch, kept = load_generator(*(root / "artifacts/baseline" / name for name in outputs[:2]))
    # The averaged weights are what was validated, and what is kept.
    assert arch == ARCH
    assert all(torch.equal(v, session.state.average.state_dict()[k]) for k, v in kept.state_dict().items())


def test_the_fingerprint_is_that_of_parameters_and_inputs(root):
    first = baseline.session(job(root)).fingerprint
    assert baseline.session(job(root)).fingerprint == first != baseline.session(job(root, seed=1)).fingerprint
    write_json(root / "artifacts/check/result.json", {"data": mark(job(root)), "other": 1})
    assert baseline.session(job(root)).fingerprint != first


def test_a_batch_is_the_same_for_every_network_of_a_seed(root):
    some, other = baseline.session(job(root)), baseline.session(job(root, lambda_gan=0.0))
    for index in (0, 5):
        assert torch.equal(some.batch(index).inputs, other.batch(index).inputs)
        assert torch.equal(some.batch(index).photos, other.batch(index).photos)
    batch = some.batch(0)
    assert batch.inputs.shape == (2, 3, 32, 32) and batch.photos.min() >= -1 and batch.photos.max() <= 1
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)


def test_networks_see_edges_where_the_data_have_them(root):
    """The same pairs with and without edges: the same label maps in the same order, and one channel more."""
    plain = baseline.session(job(root)).batch(3).inputs
    prepared = root / "artifacts/prepare"
    write_json(prepared / "dataset.json", read_json(prepared / "dataset.json") | {"edges": True})
    for split in ("train", "val", "test"):
        add_edges(prepared / f"{split}.zip")
    write_json(root / "artifacts/check/result.json", {"data": mark(job(root))})
    architecture.save(dataclasses.replace(ARCH, input_channels=4), root / "artifacts/prune/arch.json")
    discriminator = PatchDiscriminator(7, 4, "batch")
    save_partners(Partners(discriminator), root / "artifacts/teacher")
    session = baseline.session(job(root))
    edged = session.batch(3).inputs
    assert edged.shape == (2, 4, 32, 32) and torch.equal(edged[:, :3], plain)
    # Edges are where the class changes, mirrored with it.
    classes = edged[:, :3].argmax(1).numpy()
    assert np.array_equal(edged[:, 3].numpy(), np.stack([instance_edges(one) for one in classes]))
    session.run()
    assert session.validation.selection in read_json(root / "artifacts/baseline/metrics.json")


def add_edges(path: Path) -> None:
    """Rewrite a split's label maps with the edges of their own regions."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            pixels = np.asarray(Image.open(io.BytesIO(content)))
            archive.writestr(name, png(with_edges(pixels, pixels)) if name.startswith("input/") else content)


def test_networks_run_on_as_many_images_at_once_as_the_schedule_says(tmp_path):
    write_inputs(tmp_path, "instance_affine")
    session = baseline.session(job(tmp_path, micro_batch=1))
    seen: list[int] = []
    for net in (session.state.generator, session.state.discriminator):
        net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    session.step(0)
    assert set(seen) == {1}


def test_networks_draw_from_streams_of_their_own():
    drawn = {(seed, way, stream): torch.rand(1, generator=seeded(seed, way + stream)).item()
             for seed in range(3) for way in ("", "reverse_")
             for stream in ("generator", "discriminator", "adapters")}  # fmt: skip
    assert len(set(drawn.values())) == 18


@pytest.mark.parametrize("name", [*training.DATA, *training.JUDGE, *baseline.INPUTS])
def test_a_missing_input_is_named_with_its_maker(name, root):
    (root / "artifacts" / name).unlink()
    with pytest.raises(UserError, match=rf"artifacts/{name}: missing; `dvc repro {name.split('/')[0]}`"):
        baseline.session(job(root))


def test_data_that_were_prepared_anew_are_to_be_checked_anew(root):
    path = root / "artifacts/prepare/manifest.csv"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match=r"result\.json: is about other data .*dvc repro check") as caught:
        baseline.session(job(root))
    assert caught.value.code == DATA_FAILED


def test_networks_of_other_classes_are_named(root):
    path = root / "artifacts/prepare/dataset.json"
    info = read_json(path)
    write_json(path, info | {"classes": [*info["classes"], "d"], "palette": [*info["palette"], [0, 0, 0]]})
    write_json(root / "artifacts/check/result.json", {"data": mark(job(root))})
    with pytest.raises(UserError, match="baseline's generator: takes 3 input channels, data set tiny gives 4"):
        baseline.session(job(root))
    write_json(path, info)
    write_json(root / "artifacts/check/result.json", {"data": mark(job(root))})
    save_judge(Segmenter(4, 4), root / "artifacts/judge")
    with pytest.raises(UserError, match=r"judge\.json: knows 4 classes, the data have 3"):
        baseline.session(job(root))


def test_a_perfect_translation_scores_best(root):
    """A generator that gives the real photos back is at no distance, and as readable as they are."""
    validation = baseline.session(job(root)).validation
    pairs = load_split(root / "artifacts/prepare/val.zip", validation.info)
    flat = validation.score(lambda x: torch.zeros(len(x), 3, 32, 32))
    perfect = validation.score(lambda x: pairs.photos.float() / 127.5 - 1)
    assert perfect[validation.selection] < flat[validation.selection]
    assert set(perfect) == {"kid_segmenter_noresize_val", "miou_segmenter_noresize_val"}


def test_translation_and_pictures_keep_order_and_range(root):
    info = load_info(root / "artifacts/prepare/dataset.json")
    labels = load_split(root / "artifacts/prepare/train.zip", info).inputs.repeat(8, 1, 1)  # more than one batch
    painted = translate(lambda x: x * 2 - 1, labels, "onehot", info, torch.device("cpu"), torch.no_grad)
    assert torch.equal(painted, show_inputs(labels, info))  # the palette is one-hot itself
