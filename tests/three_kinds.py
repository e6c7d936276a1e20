"""Prepared data of each kind, drawn: blobs, or the same in other colours and with stripes, that a judge can learn.

Label maps: classes 0 to 2. Photos of the target domain are striped; input photos are not, and have other colours.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from understudy.data.checked import mark
from understudy.data.manifest import write_manifest
from understudy.data.prepared import DatasetInfo, Split, load_info
from understudy.data.terms import Kind
from understudy.files import write_json
from understudy.stage import Job

PALETTE = ((200, 60, 60), (60, 60, 200), (60, 200, 60))
OTHER = ((60, 160, 170), (190, 180, 60), (120, 60, 140))  # colours of the input photos
COUNTS = {"train": 12, "val": 6, "test": 8}
MORE = 2  # unpaired photos beyond the inputs


def drawn_info(kind: Kind, size: int = 32, counts: Mapping[str, int] = COUNTS) -> DatasetInfo:
    classes = ("a", "b", "c") if kind == "labels" else ()
    palette = PALETTE if kind == "labels" else ()
    photos = {split: count + MORE for split, count in counts.items()} if kind == "unpaired" else None
    return DatasetInfo("drawn", kind, (size, size), classes, palette, None, "CC0", counts, photos)


def drawn_split(kind: Kind, count: int, seed: int, size: int = 32) -> Split:
    names = tuple(f"{index:04}" for index in range(count))
    labels = blobs(count, seed, size)
    if kind == "labels":
        return Split(names, labels, photos(labels, seed + 1))
    if kind == "photos":
        return Split(names, coloured(labels, OTHER, seed + 1), photos(labels, seed + 2))
    others = blobs(count + MORE, seed + 3, size)
    return Split(names, coloured(labels, PALETTE, seed + 1), photos(others, seed + 2))


def write_prepared(root: Path, kind: Kind, size: int = 32, counts: Mapping[str, int] = COUNTS) -> DatasetInfo:
    """`root`/artifacts as prepare and check would leave it."""
    folder = root / "artifacts/prepare"
    info = drawn_info(kind, size, counts)
    write_json(folder / "dataset.json", {"schema": 2, **vars(info)})
    for seed, (name, count) in enumerate(counts.items()):
        split = drawn_split(kind, count, 10 * seed, size)
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for side, images in (("input", split.inputs), ("photo", split.photos)):
                for index, image in enumerate(images):
                    pixels = image if image.dim() == 2 else image.permute(1, 2, 0)
                    stream = io.BytesIO()
                    Image.fromarray(pixels.numpy()).save(stream, "PNG")
                    archive.writestr(f"{side}/{index:04}.png", stream.getvalue())
    write_manifest(folder / "manifest.csv", [])
    write_json(root / "artifacts/check/result.json", {"data": mark(Job("check", root, {}))})
    return load_info(folder / "dataset.json")


def blobs(count: int, seed: int, size: int) -> torch.Tensor:
    """Class indices uint8 [N, S, S]."""
    coarse = torch.randint(0, 3, (count, 1, 4, 4), generator=torch.Generator().manual_seed(seed)).float()
    return F.interpolate(coarse, (size, size), mode="nearest")[:, 0].to(torch.uint8)


def photos(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """The target domain: the palette's colours, noise, and dark columns."""
    bright = coloured(labels, PALETTE, seed).float()
    bright[..., ::4] *= 0.5
    return bright.to(torch.uint8)


def coloured(labels: torch.Tensor, palette: tuple[tuple[int, int, int], ...], seed: int) -> torch.Tensor:
    """uint8 [N, 3, S, S], a little noisy."""
    images = torch.tensor(palette)[labels.long()].permute(0, 3, 1, 2)
    noise = torch.randint(-20, 21, images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + noise).clamp(0, 255).to(torch.uint8)
