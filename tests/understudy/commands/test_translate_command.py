from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from toy_run import small_arch
from verbs import understudy

from understudy.arch import families as architecture
from understudy.errors import BAD_INPUT, OK
from understudy.files import read_json, write_json
from understudy.tensors import save_weights


def test_translate_a_folder_with_the_student(run, tmp_path, capsys):
    code, out, _ = understudy(capsys, "translate", tmp_path / "maps", "--output", tmp_path / "out", "--with", "student",
                              "--root", run)  # fmt: skip
    assert code == OK and "2 photo(s) by student" in out
    photos = [np.asarray(Image.open(tmp_path / "out" / name)) for name in ("index.png", "colour.png")]
    assert photos[0].shape == (18, 23, 3) and photos[0].std() > 0
    assert np.array_equal(*photos)  # one scene, stored in two ways


def test_translate_a_folder_of_photos(run, tmp_path, capsys):
    arch = replace(small_arch(), encoding="rgb")
    architecture.save(arch, run / "artifacts/distill/arch.json")
    path = run / "artifacts/prepare/dataset.json"
    write_json(path, {**read_json(path), "kind": "unpaired", "classes": [], "palette": []})
    for name, size in (("wide.jpg", (37, 18)), ("large.png", (40, 64))):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "maps" / name)
    code, out, _ = understudy(capsys, "translate", tmp_path / "maps", "--output", tmp_path / "out", "--with", "student",
                              "--root", run)  # fmt: skip
    assert code == OK and "4 photo(s) by student" in out
    sizes = {name: Image.open(tmp_path / "out" / name).size for name in ("wide.png", "large.png", "index.png")}
    assert sizes == {"wide.png": (18, 37), "large.png": (64, 40), "index.png": (23, 18)}  # index.png: a grey photo
    architecture.save(small_arch(), run / "artifacts/distill/arch.json")
    code, _, err = understudy(capsys, "translate", tmp_path / "maps", "--output", tmp_path / "two", "--with", "student",
                              "--root", run)  # fmt: skip
    assert code == BAD_INPUT and "takes label maps, one-hot, and data set toy has photos" in err


def test_translate_label_maps_with_instance_maps(run, tmp_path, capsys):
    arch = replace(small_arch(), input_channels=4)
    architecture.save(arch, run / "artifacts/distill/arch.json")
    torch.manual_seed(0)
    save_weights(architecture.build(arch), run / "artifacts/distill/weights.safetensors")
    path = run / "artifacts/prepare/dataset.json"
    write_json(path, {**read_json(path), "edges": True})
    (tmp_path / "ids").mkdir()
    for name in ("index.png", "colour.png"):
        Image.fromarray((np.indices((18, 23)).sum(0) // 5).astype(np.uint16)).save(tmp_path / "ids" / name)
    asked = ("translate", tmp_path / "maps", "--output", tmp_path / "out", "--with", "student", "--root", run)
    code, _, err = understudy(capsys, *asked)
    assert code == BAD_INPUT and err.count("\n") == 1 and "give --instances DIR" in err
    code, out, _ = understudy(capsys, *asked, "--instances", tmp_path / "ids")
    assert code == OK and "2 photo(s) by student" in out


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("champion", "expected teacher, student, baseline or models:/NAME@ALIAS"),
        ("teacher", "teacher/arch.json: no such file"),
    ],
)
def test_translate_without_that_model(model, message, run, tmp_path, capsys):
    code, _, err = understudy(capsys, "translate", tmp_path / "maps", "--output", tmp_path / "out", "--with", model,
                              "--root", run)  # fmt: skip
    assert code == BAD_INPUT and message in err and not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_one_line(run, tmp_path, capsys):
    (tmp_path / "out").write_text("not a folder")
    code, _, err = understudy(capsys, "translate", tmp_path / "maps", "--output", tmp_path / "out", "--with", "student",
                              "--root", run)  # fmt: skip
    assert code == BAD_INPUT and err.startswith("understudy translate: ") and err.count("\n") == 1
    assert str(tmp_path / "out") in err and (tmp_path / "out").read_text() == "not a folder"
