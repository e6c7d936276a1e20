"""Label-map files in, photo files out: folders or single files, of any size, all checked before one is written."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from understudy.data.pairs import DatasetInfo
from understudy.errors import UserError
from understudy.files import atomic

# Label maps are stored without loss: a JPEG's colours would be close to the palette's, and close is another class.
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 2**26  # of one label map, 8,192 by 8,192: beyond it a file is more likely a trap than a scene
SHOWN = 5  # values or colours that an error lists

Translate = Callable[[np.ndarray], np.ndarray]


def translate_files(inputs: Iterable[Path], output: Path, info: DatasetInfo, translate: Translate) -> Iterator[Path]:
    """Translate every input and yield each photo's path, `output`/NAME.png, once it is written.

    inputs: label-map files, or folders whose label maps are all taken. info: the classes and palette that the network
    was trained with. translate: uint8 class indices [1, H, W] -> uint8 photos [1, H, W, 3].
    Raises UserError that lists every bad input, before the first photo is written.
    """
    files = _files(inputs)
    bad = _clashes(files, output)
    for path in files:
        try:
            read_labels(path, info)
        except UserError as error:
            bad.append(str(error))
    if bad:
        raise UserError("\n  ".join([f"{len(bad)} bad input(s); nothing was written:", *bad]))
    for path in files:
        photo = translate(read_labels(path, info)[None])[0]  # [H, W] -> [1, H, W] -> [H, W, 3]
        target = output / f"{path.stem}.png"
        with atomic(target) as temporary:
            Image.fromarray(photo).save(temporary)
        yield target


def read_labels(path: Path, info: DatasetInfo) -> np.ndarray:
    """A label map as class indices, uint8 [H, W].

    Grey images (8 or 16 bit, or bilevel) and palette images hold the indices themselves; colour images are read by the
    data set's palette. Raises UserError naming the file, and what in it is not a label.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is the smaller one
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(f"{path}: {image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
                image.load()
                return _indices(image, path, info)
    except UnidentifiedImageError:
        raise UserError(f"{path}: not an image") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's words for damage
        raise UserError(f"{path}: cannot be read ({error})") from error


def _indices(image: Image.Image, path: Path, info: DatasetInfo) -> np.ndarray:
    if image.mode in ("RGB", "RGBA"):
        return _by_colour(np.asarray(image), path, info)
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise UserError(
            f"{path}: mode {image.mode}; expected class indices (grey or palette image) or the palette's colours"
        )
    values = np.asarray(image).astype(np.int64)  # [H, W]
    if unknown := [int(value) for value in np.unique(values) if not 0 <= value < info.num_classes]:
        raise UserError(f"{path}: no such class: {_some(unknown)}; {info.name} has 0 to {info.num_classes - 1}")
    return values.astype(np.uint8)


def _by_colour(pixels: np.ndarray, path: Path, info: DatasetInfo) -> np.ndarray:
    """Colours uint8 [H, W, 3 or 4] -> class indices uint8 [H, W]."""
    if pixels.shape[2] == 4 and (pixels[..., 3] < 255).any():
        raise UserError(f"{path}: has transparent pixels, which stand for no class")
    codes = _codes(pixels)  # [H, W, 3 or 4] -> [H, W]
    # The first of two classes of one colour wins, whichever way it is searched.
    classes = {int(code): index for index, code in reversed([*enumerate(_codes(np.array(info.palette)))])}
    found, inverse = np.unique(codes, return_inverse=True)
    if unknown := [f"#{code:06x}" for code in found.tolist() if code not in classes]:
        raise UserError(f"{path}: no class has the colour {_some(unknown)}; see the palette of {info.name}")
    return np.array([classes[code] for code in found.tolist()], np.uint8)[inverse].reshape(codes.shape)


def _codes(colours: np.ndarray) -> np.ndarray:
    """Colours [..., 3 or 4] in 0-255 -> one number each, 0xRRGGBB [...]."""
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _files(inputs: Iterable[Path]) -> list[Path]:
    """The label maps of the inputs in order, folders opened, none twice."""
    files: dict[Path, Path] = {}
    for path in inputs:
        inside = sorted(p for p in path.iterdir() if _is_label_map(p)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: holds no label map ({', '.join(SUFFIXES)})")
        files.update((file.resolve(), file) for file in inside)
    return list(files.values())


def _is_label_map(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


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


def _some(values: list[int] | list[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(str(value) for value in values[:SHOWN]) + more
