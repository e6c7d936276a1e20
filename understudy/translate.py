"""Label maps or photos in, photos out: files or folders of them, of any size, all checked before one is written."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from understudy.data.edges import with_edges
from understudy.data.layouts import cityscapes
from understudy.data.pictures import BadImage, read_instances, read_label, read_photo
from understudy.data.prepared import DatasetInfo
from understudy.data.source import Classes
from understudy.errors import UserError
from understudy.files import atomic

# Label maps are stored without loss: a JPEG's colours would be close to the palette's, and close is another class.
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
LABEL_FORMATS = ("PNG", "BMP", "TIFF", "GIF")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".gif")

Translate = Callable[[np.ndarray], np.ndarray]


def translate_files(
    inputs: Iterable[Path], output: Path, info: DatasetInfo, translate: Translate, instances: Path | None = None
) -> Iterator[Path]:
    """Translate every input and yield each photo's path, `output`/NAME.png, once it is written.

    inputs: files, or folders all of whose images are taken: label maps or photos, as `info` has it of the data set that
    the network was trained with. translate: uint8 inputs as a `Translator` takes them, one at a time -> uint8 photos
    [1, H, W, 3]. instances: a folder of instance maps of the label maps' names (or Cityscapes' own), where `info` has
    edges.
    Raises UserError that lists every bad input, before the first photo is written, or when instance maps are missing,
    or are given to a network that does not look at them.
    """
    _require_instances(info, instances)
    files = _files(inputs, info)
    bad = _clashes(files, output)
    for path in files:
        try:
            read_input(path, info, instances)
        except UserError as error:
            bad.append(str(error))
    if bad:
        raise UserError("\n  ".join([f"{len(bad)} bad input(s); nothing was written:", *bad]))
    for path in files:
        photo = translate(read_input(path, info, instances)[None])[0]  # [H, W, ...] -> [1, H, W, ...] -> [H, W, 3]
        target = output / f"{path.stem}.png"
        with atomic(target) as temporary:
            Image.fromarray(photo).save(temporary)
        yield target


def read_input(path: Path, info: DatasetInfo, instances: Path | None = None) -> np.ndarray:
    """A label map as class indices, uint8 [H, W], or with the edges of its instances, uint8 [H, W, 2], or a photo,
    uint8 [H, W, 3], read as `prepare` reads one.

    Label maps may be of more formats than there. instances: the folder of instance maps, where `info` has edges.
    Raises UserError naming the file, and what in it is not an input.
    """
    if info.kind != "labels":
        return _read(path, lambda content: np.asarray(read_photo(content)[0]))
    classes = Classes(info.classes, info.palette, info.ignore, info.licence)
    labels = _read(path, lambda content: read_label(content, classes, LABEL_FORMATS)[0])
    if instances is None:
        return labels
    name = _instances_of(path)
    found = sorted(file for file in instances.iterdir() if file.stem == name and _is_image(file, LABEL_SUFFIXES))
    if len(found) != 1:
        names = " and ".join(file.name for file in found) or "none"
        raise UserError(f"{path}: one instance map called {name} is expected in {instances}, found {names}")
    ids = _read(found[0], lambda content: read_instances(content, LABEL_FORMATS))
    if ids.shape != labels.shape:
        raise UserError("{}: is {} x {} pixels and its label map {} x {}".format(found[0], *ids.shape[::-1],
                                                                                 *labels.shape[::-1]))  # fmt: skip
    return with_edges(labels, ids)


def _instances_of(path: Path) -> str:
    """The name of a label map's instance map, without an extension: its own, but for Cityscapes' files."""
    ending, other = (Path(file).stem for file in (cityscapes.LABEL, cityscapes.INSTANCE))
    return path.stem.removesuffix(ending) + other if path.stem.endswith(ending) else path.stem


def _read(path: Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        return decode(path.read_bytes())
    except BadImage as error:
        raise UserError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _require_instances(info: DatasetInfo, instances: Path | None) -> None:
    if info.edges and instances is None:
        raise UserError(
            f"networks of {info.name} see where instances end: give --instances DIR, a folder of instance maps with "
            "the names of the label maps"
        )
    if instances is not None and not info.edges:
        raise UserError(f"--instances {instances}: networks of {info.name} do not look at instances; leave it out")
    if instances is not None and not instances.is_dir():
        raise UserError(f"--instances {instances}: no such folder")


def _files(inputs: Iterable[Path], info: DatasetInfo) -> list[Path]:
    """The images of the inputs in order, folders opened, none twice."""
    what, suffixes = ("label map", LABEL_SUFFIXES) if info.kind == "labels" else ("photo", PHOTO_SUFFIXES)
    files: dict[Path, Path] = {}
    for path in inputs:
        inside = sorted(p for p in path.iterdir() if _is_image(p, suffixes)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: holds no {what} ({', '.join(suffixes)})")
        files.update((file.resolve(), file) for file in inside)
    return list(files.values())


def _is_image(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _clashes(files: list[Path], output: Path) -> list[str]:
    """Inputs that a photo would overwrite, or that would overwrite each other's photo."""
    sources = {file.resolve() for file in files}
    makers: dict[str, list[str]] = {}
    for file in files:
        makers.setdefault(file.stem, []).append(str(file))
    overwritten = [f"{output / stem}.png: would be overwritten; choose another --output"
                   for stem in makers if (output / f"{stem}.png").resolve() in sources]  # fmt: skip
    return overwritten + [f"{' and '.join(paths)}: one name, {output / stem}.png, for all of them"
                          for stem, paths in makers.items() if len(paths) > 1]  # fmt: skip
