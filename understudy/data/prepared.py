"""The prepared data set in memory: inputs and photos as uint8 tensors, and the encodings that networks see.

A split of 64 px images is decoded once, in about a second, and then costs a training step only an index: 1,200 pairs
take 20 MB, and the 2,975 pairs of Cityscapes at 256 px take 780 MB.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from understudy.data.terms import KINDS, Encoding, Kind, Side
from understudy.errors import UserError
from understudy.files import read_json

SCHEMA = 2  # 1 knew label maps alone
REFERENCE = "reference"  # the folder of a training split's photos at `size`, where the split is stored larger
EDGES_DARKER = 3  # by how much, where an edge is shown in the colour of its class


@dataclass(frozen=True)
class DatasetInfo:
    """dataset.json: what the images of all splits have in common.

    kind: what is translated, and whether its photo is known (terms.py). size: height and width in pixels.
    classes, palette: a name and an RGB colour (0-255) by class index; none where inputs are photos.
    ignore: the class that metrics leave out, or None. counts: inputs by split; photo_counts: photos, where
    they are no pairs and may be more or fewer, else None. load_size: of the training split, where it is stored larger
    and steps see windows of `size` (`load_photos` has its photos at `size`), else None. edges: whether label maps come
    with the edges of instances (edges.py).
    """

    name: str
    kind: Kind
    size: tuple[int, int]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore: int | None
    licence: str
    counts: Mapping[str, int]
    photo_counts: Mapping[str, int] | None = None
    load_size: tuple[int, int] | None = None
    edges: bool = False

    def count(self, split: str, side: Side) -> int:
        """Images of one side."""
        return (self.photo_counts if side == "photo" and self.photo_counts else self.counts)[split]

    def count_text(self, split: str) -> str:
        """The images of a split, for people."""
        inputs, photos = self.count(split, "input"), self.count(split, "photo")
        return f"{inputs} inputs, {photos} photos" if self.photo_counts else str(inputs)

    def stored_size(self, split: str) -> tuple[int, int]:
        """Height and width of a split's images."""
        return self.load_size or self.size if split == "train" else self.size

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def planes(self) -> tuple[int, ...]:
        """What an input has for each pixel: () a class; (2,) a class and whether it is an edge; (3,) a colour."""
        return (3,) if self.kind != "labels" else (2,) if self.edges else ()

    def input_channels(self, encoding: Encoding) -> int:
        """Channels of an encoded input; the edges of instances are the last of them."""
        return (self.num_classes if encoding == "onehot" else 3) + self.edges

    def require_fit(self, channels: int, encoding: Encoding, where: object) -> None:
        """Raise UserError, naming `where`, when a network with so many input channels cannot take these inputs."""
        if encoding == "onehot" and self.kind != "labels":
            raise UserError(
                f"{where}: takes label maps, one-hot, and data set {self.name} has photos; set teacher.encoding to rgb"
            )
        if channels != (given := self.input_channels(encoding)):
            raise UserError(
                f"{where}: takes {channels} input channels, data set {self.name} gives {given} as {encoding}; "
                "they are not of one run: `dvc repro` makes them fit"
            )


def load_info(path: Path) -> DatasetInfo:
    """Read dataset.json. Raises UserError when it is missing, damaged, or of another schema."""
    value: Any = read_json(path)
    try:
        if value["schema"] != SCHEMA:
            raise UserError(f"{path}: schema {value['schema']}, this version reads {SCHEMA}; run `dvc repro prepare`")
        if value["kind"] not in KINDS:
            raise ValueError(f"unknown kind {value['kind']!r}")
        return DatasetInfo(
            name=value["name"],
            kind=value["kind"],
            size=_height_width(value["size"]),
            classes=tuple(value["classes"]),
            palette=tuple((r, g, b) for r, g, b in value["palette"]),
            ignore=value["ignore"],
            licence=value["licence"],
            counts=dict(value["counts"]),
            photo_counts=dict(value["photo_counts"]) if value.get("photo_counts") else None,
            load_size=_height_width(value["load_size"]) if value.get("load_size") else None,
            edges=_true_or_false(value.get("edges", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a data set description ({error!r}); run `dvc repro prepare`") from None


def _true_or_false(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, found {value!r}")
    return value


def _height_width(value: Any) -> tuple[int, int]:
    height, width = value
    return int(height), int(width)


@dataclass(frozen=True)
class Split:
    """One split. inputs: what is translated, uint8: class indices [N, H, W]; class indices and edges (0 or 1)
    [N, 2, H, W]; or photos [N, 3, H, W].

    photos: of the target domain, uint8 [M, 3, H, W]; of pairs M = N, in the same order. names: of the inputs, as in the
    manifest.
    """

    names: tuple[str, ...]
    inputs: Tensor
    photos: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


def load_split(path: Path, info: DatasetInfo) -> Split:
    """Decode a prepared split, sorted by name. Raises UserError when the archive is missing or damaged."""
    mode = {(): "L", (2,): "LA", (3,): "RGB"}[info.planes]
    with _opened(path) as archive:
        names, targets = _names(archive, "input"), _names(archive, "photo")
        if info.kind != "unpaired" and (alone := sorted(set(names) ^ set(targets))):
            raise ValueError(f"{alone[0]} is no pair")
        inputs = [_decode(archive, f"input/{name}", mode) for name in names]  # each [H, W, ...]
        photos = [_decode(archive, f"photo/{name}", "RGB") for name in targets]  # each [H, W, 3]
        if len({image.shape[:2] for image in (*inputs, *photos)}) > 1:
            raise ValueError("its images are not of one size")
    if not inputs or not photos:
        raise UserError(f"{path}: holds no {'photo' if inputs else 'input'}; run `dvc repro prepare`")
    return Split(tuple(Path(name).stem for name in names), _stack(inputs), _stack(photos))


def load_photos(path: Path, info: DatasetInfo) -> Tensor:
    """A split's photos at `info.size`, by which metrics know real ones: uint8 [M, 3, H, W], sorted by name.

    Of a training split that is stored larger these are made of the same originals, by the same resize as the photos of
    other splits. Raises UserError as `load_split` does, and when the archive lacks them.
    """
    with _opened(path) as archive:
        stored, kept = _names(archive, "photo"), _names(archive, REFERENCE)
        if kept and kept != stored:
            raise ValueError(f"{REFERENCE}/ has not the names that photo/ has")
        photos = [_decode(archive, f"{REFERENCE if kept else 'photo'}/{name}", "RGB") for name in stored]
    if not photos or any(photo.shape[:2] != info.size for photo in photos):
        wanted = "{} x {}".format(*info.size)
        raise UserError(f"{path}: holds no photos of {wanted}, which metrics compare with; run `dvc repro prepare`")
    return _stack(photos)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A prepared split. Raises UserError when it is missing, or for whatever tells the block that it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise UserError(f"{path}: no such split; `dvc repro prepare` makes it") from None
    # zipfile reads a spoilt header as a method it lacks or as encryption: RuntimeError.
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it and run `dvc repro prepare`") from error


def _names(archive: zipfile.ZipFile, folder: str) -> list[str]:
    """Of the images in one folder of it, sorted."""
    return sorted(entry.removeprefix(f"{folder}/") for entry in archive.namelist() if entry.startswith(f"{folder}/"))


def _stack(images: list[np.ndarray]) -> Tensor:
    """Images [H, W] -> [N, H, W], or [H, W, C] -> [N, C, H, W]."""
    stacked = torch.from_numpy(np.stack(images))
    return stacked if stacked.dim() == 3 else stacked.permute(0, 3, 1, 2).contiguous()


def _decode(archive: zipfile.ZipFile, entry: str, mode: str) -> np.ndarray:
    image = Image.open(io.BytesIO(archive.read(entry)))
    if image.mode != mode:
        raise ValueError(f"{entry} is of mode {image.mode}, expected {mode}")
    return np.asarray(image)


def to_unit(photos: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [-1, 1], of the same shape."""
    return photos.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 in [0, 255], rounded, of the same shape: what a file would hold is what is scored."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def class_plane(inputs: Tensor) -> Tensor:
    """Class indices [N, H, W] of label maps, with edges [N, 2, H, W] or without; photos [N, 3, H, W] as they are."""
    return inputs[:, 0] if inputs.dim() == 4 and inputs.shape[1] == 2 else inputs


def encode_inputs(inputs: Tensor, encoding: Encoding, info: DatasetInfo) -> Tensor:
    """What a network sees: float32 [N, C, H, W].

    inputs: as in `Split`. Class indices become one-hot in {0, 1} or the palette's colours in [-1, 1]; edges follow as
    one more channel in {0, 1}; photos are in [-1, 1].
    """
    if info.kind != "labels":
        return to_unit(inputs)
    labels = class_plane(inputs)  # [N, H, W]
    if encoding == "onehot":
        encoded = F.one_hot(labels.long(), info.num_classes).permute(0, 3, 1, 2).float()  # [N, H, W, C] -> [N, C, H, W]
    else:
        palette = to_unit(torch.tensor(info.palette, dtype=torch.uint8, device=inputs.device))  # [K, 3]
        encoded = palette[labels.long()].permute(0, 3, 1, 2)  # [N, H, W, 3] -> [N, 3, H, W]
    return torch.cat([encoded, inputs[:, 1:].float()], dim=1) if info.edges else encoded


def show_inputs(inputs: Tensor, info: DatasetInfo) -> Tensor:
    """Inputs as pictures uint8 [N, 3, H, W]: label maps in the palette's colours, edges dark; photos as they are."""
    if info.kind != "labels":
        return inputs
    palette = torch.tensor(info.palette, dtype=torch.uint8)
    shown = palette[class_plane(inputs).long()].permute(0, 3, 1, 2)  # [N, H, W, 3] -> [N, 3, H, W]
    return torch.where(inputs[:, 1:] > 0, shown // EDGES_DARKER, shown) if info.edges else shown


def blank_inputs(info: DatasetInfo, count: int) -> Tensor:
    """Inputs as in `Split`, all of zeros, to time a network with."""
    return torch.zeros(count, *info.planes, *info.size, dtype=torch.uint8)


def batch_indices(count: int, batch_size: int, seed: int, step: int, side: Side = "input") -> tuple[Tensor, Tensor]:
    """Which images make up a batch and which of them are mirrored: a pure function of its arguments (step from 0).

    Every epoch is its own permutation, and a batch may span two, so that each is seen equally often whatever the
    batch size. Being stateless, the order survives a restart and is the same for every network trained with the seed.
    side: photos without pairs are drawn by themselves, from `photo`; a pair is drawn once, from `input`.
    Returns indices int64 [B] in [0, count) and flips bool [B].
    """
    order, flip, _ = _STREAMS[side]
    first = step * batch_size
    positions = range(first, first + batch_size)
    permutations = {
        epoch: torch.randperm(count, generator=torch.Generator().manual_seed(_mix(seed, order, epoch)))
        for epoch in {position // count for position in positions}
    }
    indices = torch.stack([permutations[position // count][position % count] for position in positions])
    flips = torch.rand(batch_size, generator=torch.Generator().manual_seed(_mix(seed, flip, step))) < 0.5
    return indices, flips


def windows(images: Tensor, size: tuple[int, int], seed: int, step: int, side: Side = "input") -> Tensor:
    """A random window of each image of a batch: a pure function of its arguments, as `batch_indices`.

    images: [B, ..., H, W], of which windows [B, ..., *size] are taken, or the whole where they are of this size.
    Both sides of a pair are cut alike, by the windows of `input`; photos without pairs by those of `photo`.
    """
    height, width = size
    down, right = images.shape[-2] - height, images.shape[-1] - width
    if not down and not right:
        return images
    generator = torch.Generator().manual_seed(_mix(seed, _STREAMS[side][2], step))
    corners = [torch.randint(room + 1, (len(images),), generator=generator).tolist() for room in (down, right)]
    cut = [image[..., y : y + height, x : x + width] for image, y, x in zip(images, *corners, strict=True)]
    return torch.stack(cut)


# Of each side: the streams of random numbers that its order, its flips and its windows are drawn from.
_STREAMS: dict[Side, tuple[int, int, int]] = {"input": (0, 1, 2), "photo": (3, 4, 5)}


def _mix(seed: int, stream: int, index: int) -> int:
    """One seed from three numbers, so that streams do not overlap."""
    return int(np.random.SeedSequence([seed, stream, index]).generate_state(1, np.uint64)[0]) % 2**63


def mirror(images: Tensor, flips: Tensor) -> Tensor:
    """Flip the chosen images left to right. images: [N, ..., W]; flips: bool [N]."""
    return torch.where(flips.view(-1, *[1] * (images.dim() - 1)), images.flip(-1), images)
