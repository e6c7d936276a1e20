"""What a layout is asked about and what it answers: the files of a set by path, and what they are to one another."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from understudy.data.classes import CLASSES, parse_classes
from understudy.data.container import Container, Unreadable
from understudy.data.pictures import Half
from understudy.data.source import Classes, Item, Wanted
from understudy.data.terms import Side
from understudy.errors import UserError


@dataclass(frozen=True)
class Tree:
    """A container from one folder on.

    source: as in prepare.source, for messages. root: that folder with a slash behind it, or nothing. paths: of its
    files, from the container's top, sorted, without what operating systems leave behind.
    """

    source: Path
    files: Container
    root: str
    paths: Sequence[str]

    @property
    def relative(self) -> Iterable[str]:
        """The paths from the root on."""
        return (path[len(self.root) :] for path in self.paths)

    def described(self) -> str | None:
        """The path of classes.json, which lies with the splits, or at the container's top beside their folder or
        archive; None where it is not there."""
        places = dict.fromkeys((self.root + CLASSES, CLASSES))
        return next((path for path in places if path in self.files.paths), None)

    def classes(self) -> Classes:
        """What classes.json says. Raises UserError when it is not there."""
        path = self.described()
        if path is None:
            raise UserError(
                f"prepare.source: {self.source}: expected one {CLASSES} beside the splits, or at the top beside their "
                "folder or archive, as prepare.kind is labels; docs/add-a-dataset.md shows what goes into it"
            )
        try:
            return parse_classes(self.files.read(path), f"{self.source}: {path}")
        except Unreadable as error:
            raise UserError(f"prepare.source: {self.source}: {path}: {error}") from error


@dataclass(frozen=True)
class ImageFile:
    """An image: a whole file, or one half of it. half: A is the left one, B the right one.

    lossy: of a label map, whether its classes are told by colours that a lossy format has changed a little.
    instances: of a label map, the path of its instance map.
    """

    path: str
    half: Half | None = None
    lossy: bool = False
    instances: str | None = None


Files = Mapping[Side, ImageFile]  # of an item, by side


@dataclass(frozen=True)
class Listing:
    """The items of a set and their files, by split, in order.

    layout: how they lie, for people. problems: `file: reason` for what should have been one of a pair and is not.
    """

    layout: str
    classes: Classes
    items: Mapping[str, Mapping[Item, Files]]
    problems: list[str]


@dataclass(frozen=True)
class Layout:
    """A way for images to lie in folders. shape: how it looks, for messages.

    fits: whether files of these paths, from the set's own folder on, lie so. list: what they are; raises UserError when
    something is missing without which that cannot be told, or when it is not what is wanted. instances: whether it has
    a place for instance maps.
    """

    shape: str
    fits: Callable[[Iterable[str]], bool]
    list: Callable[[Tree, Wanted], Listing]
    instances: bool = False


def require_labels(tree: Tree, wanted: Wanted, shape: str) -> None:
    """Raise UserError unless label maps are wanted and no direction is given, as for layouts that name their sides."""
    if wanted.kind != "labels":
        raise UserError(
            f"prepare.kind: {wanted.kind}, and {tree.source} has label maps ({shape}); set it to labels, or put photos "
            "into folders called A and B (docs/add-a-dataset.md)"
        )
    if wanted.direction is not None:
        raise UserError(
            f"prepare.direction: {wanted.direction} is for sets whose sides are called A and B, and {tree.source} is "
            f"none ({shape}); set it to null"
        )


def by_name(paths: Iterable[str], problems: list[str], suffix: str | None = None) -> dict[str, str]:
    """Paths by the name of their item: that of the file without `suffix`, by default its extension; sorted by name.

    What has no usable name, or one that another file has, is added to the problems.
    """
    found: dict[str, str] = {}
    for path in paths:
        file = PurePosixPath(path)
        # macOS spells é with two code points where others use one: the same name to whoever gave it.
        name = unicodedata.normalize("NFC", file.stem if suffix is None else file.name.removesuffix(suffix))
        if not name.isprintable():
            problems.append(f"{path!r}: has a control character in its name")
        elif name in found:
            problems.append(f"{path}: has the same name as {found[name]}")
        else:
            found[name] = path
    return dict(sorted(found.items()))


def with_instances(
    tree: Tree,
    labels: Mapping[str, Mapping[str, ImageFile]],
    instances: Mapping[str, Mapping[str, str]],
    where: str,
    problems: list[str],
) -> dict[str, dict[str, ImageFile]]:
    """Label maps, each with the instance map of its name. Files that stay alone are added to the problems.

    labels, instances: files and paths by split and name. where: what the second look like, for the UserError when there
    is none at all.
    """
    if not any(instances.values()):
        raise UserError(
            f"prepare.instances: true, and {tree.source} has no instance map, {tree.root}{where}; set it to false, or "
            "put one beside each label map, of the same name"
        )
    found: dict[str, dict[str, ImageFile]] = {}
    for split, files in labels.items():
        ids = instances[split]
        problems += [f"{ids[name]}: has no label map" for name in sorted(set(ids) - set(files))]
        problems += [f"{files[name].path}: has no instance map" for name in sorted(set(files) - set(ids))]
        found[split] = {name: replace(file, instances=ids.get(name)) for name, file in files.items()}
    return found


def match(
    inputs: Mapping[str, ImageFile], photos: Mapping[str, ImageFile], input_word: str, problems: list[str]
) -> dict[str, Files]:
    """Inputs and photos of the same name, sorted by it. Files that stay alone are added to the problems.

    input_word: what an input is called in them.
    """
    problems += [f"{photos[name].path}: has no {input_word}" for name in sorted(set(photos) - set(inputs))]
    problems += [f"{inputs[name].path}: has no photo" for name in sorted(set(inputs) - set(photos))]
    return {name: {"input": inputs[name], "photo": photos[name]} for name in sorted(set(photos) & set(inputs))}


def pairs_of(files: Mapping[str, Mapping[str, Files]]) -> dict[str, dict[Item, Files]]:
    """By split and name -> by split and item, each with both sides."""
    return {
        split: {Item(name, ("input", "photo")): of_both for name, of_both in names.items()}
        for split, names in files.items()
    }
