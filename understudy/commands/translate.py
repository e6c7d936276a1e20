"""Label maps or photos in, photos out.

By the teacher, the student, the baseline or a registered model, from what its data set translates.
Label maps are index images (grey or palette) or colour images in the data set's palette; photos
are image files of any common format, turned upright as their EXIF data say. Any size will do.
A network that was trained with the edges of instances (prepare.instances) takes the folder of their
instance maps too: grey or palette images, an id for each pixel, with the names of the label maps
(of Cityscapes' files, *_instanceIds for *_labelIds).
Photos are written as OUTPUT/NAME.png. One bad input, and nothing is written.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import OK, UserError
from understudy.graph import NETWORKS

if TYPE_CHECKING:
    from understudy.translator import Translator

REGISTERED = "models:/"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="an image, or a folder of them")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the photos")
    parser.add_argument("--with", dest="model", required=True, metavar="MODEL",
                        help="teacher, student, baseline, or a registered one: models:/NAME@champion")  # fmt: skip
    parser.add_argument("--instances", type=Path, metavar="DIR", help="folder of the label maps' instance maps")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds artifacts/ (default: this one)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.model not in NETWORKS and not arguments.model.startswith(REGISTERED):
        raise UserError(f"--with {arguments.model}: expected {', '.join(NETWORKS)} or {REGISTERED}NAME@ALIAS")

    from understudy.translate import translate_files

    translator = _translator(arguments.model, arguments.root)
    count = 0
    info = translator.info
    for path in translate_files(arguments.inputs, arguments.output, info, translator, arguments.instances):
        print(path, flush=True)
        count += 1
    print(f"{count} photo(s) by {arguments.model} in {arguments.output}")
    return OK


def _translator(model: str, root: Path) -> "Translator":
    if model.startswith(REGISTERED):
        from understudy.adapters.followed import load_translator

        return load_translator(root, model)

    from understudy.translator import Translator

    folder = root / "artifacts"
    network = folder / NETWORKS[model]
    return Translator.load(network / "arch.json", network / "weights.safetensors", folder / "prepare" / "dataset.json")
