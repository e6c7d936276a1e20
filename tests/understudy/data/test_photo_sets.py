"""Sets without label maps: photos with their translation, and two domains without pairs."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from paired_set import CLASSES, LABEL_MAPS, SIZE, names, photo, prepared, read_pair, refused, tarred, zipped
from PIL import Image

from understudy.data.ingest import FileSet
from understudy.data.manifest import read_manifest
from understudy.data.prepared import load_info, load_split
from understudy.data.source import Item, Wanted
from understudy.data.terms import SIDES, SPLITS

TEMPLATES = ["{split}{side}", "{side}/{split}"]
A_TO_B, B_TO_A = Wanted("unpaired", "AtoB"), Wanted("unpaired", "BtoA")


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def domains(folder: Path, template: str = "{split}{side}", splits: tuple[str, ...] = SPLITS) -> Path:
    """Three photos A (a0.png ...) and two photos B (b0.png ...) in each split, none alike, B of another size."""
    for s, split in enumerate(splits):
        for number in range(3):
            save(photo(100 * s + number), folder / template.format(split=split, side="A") / f"a{number}.png")
        for number in range(2):
            save(
                photo(100 * s + 50 + number, (30, 30)),
                folder / template.format(split=split, side="B") / f"b{number}.png",
            )
    return folder


def twins(folder: Path, ending: bool = False) -> Path:
    """Pairs 0 and 1 in each split, in A and B folders; with `ending` called 0_A and 0_B."""
    for s, split in enumerate(SPLITS):
        for number in range(2):
            for side, seed in (("A", 0), ("B", 50)):
                name = f"{number}_{side}" if ending else str(number)
                save(photo(100 * s + seed + number), folder / f"{split}{side}" / f"{name}.png")
    return folder


def aligned(folder: Path) -> Path:
    for s, split in enumerate(SPLITS):
        for number in range(2):
            halves = [np.asarray(photo(100 * s + seed + number)) for seed in (0, 50)]
            save(Image.fromarray(np.concatenate(halves, axis=1)), folder / split / f"{number}.png")
    return folder


@pytest.mark.parametrize("template", TEMPLATES)
def test_unpaired_sets_read_the_same_from_folder_zip_and_tar(template: str, tmp_path: Path) -> None:
    folder = domains(tmp_path / "set", template)
    sources = [
        folder,
        zipped(folder, tmp_path / "set.zip", "horse2zebra/"),
        tarred(folder, tmp_path / "set.tar.gz", "w:gz"),
    ]
    made = [prepared(source, tmp_path / "out" / str(number), A_TO_B) for number, source in enumerate(sources)]
    for file in ("train.zip", "val.zip", "test.zip", "manifest.csv", "dataset.json", "samples.png"):
        assert len({(out / file).read_bytes() for out in made}) == 1, file


def packed(folder: Path, into: Path, ending: str = ".zip") -> Path:
    """Each folder of a set as an archive of its name, in which its images lie at the top."""
    into.mkdir()
    for one in sorted(folder.iterdir()):
        (zipped if ending.lower() == ".zip" else tarred)(one, into / f"{one.name}{ending}")
    return into


@pytest.mark.parametrize("ending", [".zip", ".ZIP", ".tar"])
def test_an_archive_of_images_alone_is_read_as_a_folder_of_its_name(ending: str, tmp_path: Path) -> None:
    folder = domains(tmp_path / "set")
    made = [prepared(folder, tmp_path / "first", A_TO_B)]
    archives = packed(folder, tmp_path / "archives", ending)
    assert sorted(file.name for file in archives.iterdir())[:2] == [f"testA{ending}", f"testB{ending}"]
    made += [prepared(archives, tmp_path / "again", A_TO_B)]
    for file in ("train.zip", "val.zip", "test.zip", "manifest.csv"):
        assert len({(out / file).read_bytes() for out in made}) == 1, file


def test_two_archives_are_two_domains_even_of_equal_names(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number in range(6):
        for side, seed in (("A", 0), ("B", 50)):
            save(photo(seed + number), folder / side / f"{number}.png")
    archives = packed(folder, tmp_path / "archives")
    source = FileSet(archives, A_TO_B)
    assert (names(source, "train", "input"), names(source, "test")) == (("0", "1", "2", "3"), ("5",))
    assert source.problems == [] and source.layout == FileSet(folder, A_TO_B).layout
    read = source.read("test", Item("5", ("photo",)), SIZE)["photo"]
    assert np.array_equal(read.pixels, np.asarray(photo(55))) and read.path == "B/5.png"
    zipped(folder / "B", archives / "B.tar.zip")  # another name, and another folder
    assert len(FileSet(archives, A_TO_B).problems) == 0
    (archives / "B.tar.zip").unlink()
    tarred(folder / "B", archives / "B.tar")
    message = refused(archives, A_TO_B)
    assert "6 problems" in message and "B.zip: 5.png: is also in another archive of this folder" in message


def test_archives_whose_names_tell_no_domain_are_told_what_to_be_called(tmp_path: Path) -> None:
    for name, seed in (("horses", 0), ("zebras", 50)):
        save(photo(seed), tmp_path / "set" / name / "0.png")
    message = refused(packed(tmp_path / "set", tmp_path / "archives"), A_TO_B)
    assert "no known layout" in message and "{A,B}/ without splits" in message


def test_an_archive_with_a_folder_is_read_by_its_folders_whatever_lies_beside_them(tmp_path: Path) -> None:
    """A picture of the set, a licence and what operating systems leave are none of its folders."""
    folder = domains(tmp_path / "set")
    (tmp_path / "beside").mkdir()
    zipped(folder, tmp_path / "beside" / "all.zip", extra={"preview.jpg": b"x", "LICENCE": b"x"})
    assert names(FileSet(tmp_path / "beside", A_TO_B), "train") == ("b0", "b1")
    archives = packed(domains(tmp_path / "other"), tmp_path / "archives")
    zipped(tmp_path / "other/trainA", archives / "trainA.zip", extra={"__MACOSX/._a0.png": b"x"})
    assert names(FileSet(archives, A_TO_B), "train", "input") == ("a0", "a1", "a2")


@pytest.mark.parametrize("wanted", [A_TO_B, B_TO_A])
def test_direction_says_which_domain_is_translated(wanted: Wanted, tmp_path: Path) -> None:
    out = prepared(domains(tmp_path / "set"), tmp_path / "out", wanted, SIZE)
    info = load_info(out / "dataset.json")
    few, many = dict.fromkeys(SPLITS, 2), dict.fromkeys(SPLITS, 3)
    assert (info.kind, info.classes, info.palette, info.ignore, info.licence) == ("unpaired", (), (), None, "unknown")
    assert (info.counts, info.photo_counts) == ((many, few) if wanted == A_TO_B else (few, many))
    split = load_split(out / "val.zip", info)
    a, b = (split.inputs, split.photos) if wanted == A_TO_B else (split.photos, split.inputs)
    assert np.array_equal(a[1].permute(1, 2, 0).numpy(), np.asarray(photo(101)))  # of SIZE: not touched
    assert b.shape == (2, 3, *SIZE)
    table = read_manifest(out / "manifest.csv")
    assert [table[c][0] for c in ("side", "path", "split")] == [
        "input",
        f"train{wanted.direction[0]}/{wanted.direction[0].lower()}0.png",
        "train",
    ]
    assert set(zip(table["side"], table["label_sha256"], strict=True)) == {("input", ""), ("photo", "")}
    assert Image.open(out / "samples.png").size == (3 * SIZE[1], 2 * SIZE[0])


def test_what_is_one_file_to_both_domains_has_two_names(tmp_path: Path) -> None:
    """The same name on both sides makes no pair, and is said, since it may be one."""
    source = FileSet(twins(tmp_path / "set"), A_TO_B)
    assert source.items("test") == tuple(Item(name, (side,)) for side in ("input", "photo") for name in "01")
    assert source.layout.endswith("both sides have the same names: if these are pairs, set prepare.kind to photos")
    assert "same names" not in FileSet(domains(tmp_path / "other"), A_TO_B).layout


@pytest.mark.parametrize("ending", [False, True])
def test_pairs_of_photos_have_the_same_name(ending: bool, tmp_path: Path) -> None:
    folder = twins(tmp_path / "set", ending)
    wanted = Wanted("photos", "BtoA")
    out = prepared(folder, tmp_path / "out", wanted, SIZE)
    info = load_info(out / "dataset.json")
    split = load_split(out / "test.zip", info)
    assert (info.kind, split.names, info.photo_counts) == ("photos", ("0", "1"), None)
    for images, seed in ((split.inputs, 250), (split.photos, 200)):
        assert np.array_equal(images[1].permute(1, 2, 0).numpy(), np.asarray(photo(seed + 1)))
    assert read_manifest(out / "manifest.csv")["side"][:4] == ["input", "photo", "input", "photo"]


def test_aligned_photos_are_pairs_or_two_domains(tmp_path: Path) -> None:
    folder = aligned(tmp_path / "set")
    pair = read_pair(folder, "train", "1", wanted=Wanted("photos", "AtoB"))
    assert np.array_equal(pair["input"].pixels, np.asarray(photo(1)))
    assert np.array_equal(pair["photo"].pixels, np.asarray(photo(51)))
    apart = FileSet(folder, B_TO_A)
    assert np.array_equal(apart.read("train", Item("1", ("input",)), SIZE)["input"].pixels, np.asarray(photo(51)))


def test_of_two_splits_three_are_made_on_each_side(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number in range(30):
        save(photo(number), folder / "trainA" / f"{number}.png")
    for number in range(21):
        save(photo(100 + number), folder / "trainB" / f"{number}.png")
    save(photo(200), folder / "testA" / "0.png")
    save(photo(201), folder / "valB" / "0.png")
    source = FileSet(folder, A_TO_B)
    assert names(source, "val", "input") == ("27", "28", "29") and names(source, "val") == ("19", "20")
    assert len(names(source, "train", "input")) == 27 and names(source, "test") == ("0",)
    tenth = "val: the last tenth of train, from"
    assert f"; inputs: {tenth} 27 on; photos: {tenth} 19 on; test: its val" in source.layout


def test_training_images_are_stored_larger(tmp_path: Path) -> None:
    out = prepared(domains(tmp_path / "set"), tmp_path / "out", A_TO_B, (24, 28), (28, 32))
    info = load_info(out / "dataset.json")
    assert (info.size, info.load_size) == ((24, 28), (28, 32))
    for split in SPLITS:
        assert load_split(out / f"{split}.zip", info).photos.shape[2:] == info.stored_size(split)
    table = read_manifest(out / "manifest.csv")
    assert set(zip(table["split"], table["height"], table["width"], strict=True)) == {
        ("train", "28", "32"), ("val", "24", "28"), ("test", "24", "28")
    }  # fmt: skip


def test_photos_are_resized_with_the_bicubic_filter(tmp_path: Path) -> None:
    domains(tmp_path / "set")
    train = prepared(tmp_path / "set", tmp_path / "out", A_TO_B) / "train.zip"
    with zipfile.ZipFile(train) as archive, archive.open("input/a0.png") as stream:
        found = np.asarray(Image.open(stream))
    assert np.array_equal(found, np.asarray(photo(0).resize((20, 16), Image.Resampling.BICUBIC)))


def test_a_direction_is_asked_for(tmp_path: Path) -> None:
    for wanted in (Wanted("unpaired", None), Wanted("photos", None)):
        message = refused(domains(tmp_path / wanted.kind), wanted)
        assert (
            message.startswith("prepare.direction: missing") and "AtoB when A is the side that is translated" in message
        )


def test_kind_and_classes_json_must_agree(tmp_path: Path) -> None:
    folder = twins(tmp_path / "set")
    message = refused(folder, Wanted("labels", "AtoB"))
    assert "expected one classes.json" in message and "as prepare.kind is labels" in message
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    for kind in ("photos", "unpaired"):
        message = refused(folder, Wanted(kind, "AtoB"))
        assert message.startswith(f"prepare.kind: {kind}, and ") and "set prepare.kind to labels" in message
    assert refused(folder, LABEL_MAPS).startswith("prepare.direction: missing")


def test_names_that_match_nowhere_are_one_error_and_a_few_that_do_not_are_listed(tmp_path: Path) -> None:
    folder = twins(tmp_path / "set")
    (folder / "trainA" / "1.png").rename(folder / "trainA" / "2.png")
    message = refused(folder, Wanted("photos", "AtoB"))
    assert (
        "trainB/1.png: has no input" in message and "trainA/2.png: has no photo" in message and "2 problems" in message
    )
    message = refused(domains(tmp_path / "other"), Wanted("photos", "AtoB"))
    assert "no training image of" in message and "(trainA/a0.png and trainB/b0.png, for example)" in message
    assert "set it to unpaired" in message and "\n" not in message


def test_a_side_without_images_is_named_for_each_split(tmp_path: Path) -> None:
    folder = domains(tmp_path / "set")
    for file in (folder / "testB").iterdir():
        file.unlink()
    (folder / "trainA" / "a1.png").write_bytes(b"no image")
    message = refused(folder, A_TO_B)
    assert "testB/: no file there; each split needs images" in message and "trainA/a1.png: not an image" in message


def test_both_sides_of_a_pair_are_of_one_size(tmp_path: Path) -> None:
    folder = twins(tmp_path / "set")
    save(photo(1, (30, 30)), folder / "trainA" / "0.png")
    message = refused(folder, Wanted("photos", "AtoB"))
    assert "trainA/0.png: is 30 x 30 pixels and its photo 32 x 24 (width x height, upright)" in message


def piles(folder: Path, a: int, b: int, same: bool = False) -> Path:
    """So many photos A and B without splits; with `same` of the same names, else a1.png ... and b1.png ..."""
    for side, count, seed in (("A", a, 0), ("B", b, 500)):
        for number in range(1, count + 1):
            save(photo(seed + number), folder / side / f"{'' if same else side.lower()}{number}.png")
    return folder


def test_two_folders_without_splits_give_the_last_tenths_away(tmp_path: Path) -> None:
    source = FileSet(piles(tmp_path / "set", 21, 5), A_TO_B)
    found = {side: [set(names(source, split, side)) for split in SPLITS] for side in SIDES}
    assert found["input"] == [{f"a{n}" for n in range(1, 18)}, {"a18", "a19"}, {"a20", "a21"}]
    assert found["photo"] == [{"b1", "b2", "b3"}, {"b4"}, {"b5"}]
    assert not source.problems and source.layout == (
        "{A,B}/, AtoB, without pairs; inputs: val: a tenth, from a18 on; test: the last tenth, from a20 on"
        "; photos: val: a tenth, from b4 on; test: the last tenth, from b5 on"
    )
    zipped_too = FileSet(zipped(tmp_path / "set", tmp_path / "set.zip", "mine/"), A_TO_B)
    assert zipped_too.layout == source.layout


def test_pairs_without_splits_stay_pairs(tmp_path: Path) -> None:
    source = FileSet(piles(tmp_path / "set", 10, 10, same=True), Wanted("photos", "BtoA"))
    assert [names(source, split) for split in SPLITS] == [tuple(map(str, range(1, 9))), ("9",), ("10",)]


def test_too_few_for_three_splits_and_a_split_beside_them_are_refused(tmp_path: Path) -> None:
    message = refused(piles(tmp_path / "few", 3, 2), A_TO_B)
    assert "1 problem" in message and "B/: fewer than 3 images, and each split needs one" in message
    save(photo(0), piles(tmp_path / "mixed", 3, 3) / "A" / "train" / "0.png")
    assert "A/val/: no file there; each split needs images" in refused(tmp_path / "mixed", A_TO_B)
