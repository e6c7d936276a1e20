"""An image in, an image out, by the ONNX file beside this one: python example.py INPUT OUTPUT [INSTANCES]

Needs `pip install onnxruntime pillow`, and nothing else. What INPUT is, dataset.json says: a photo, or a label map, of
which each pixel is a class (grey or palette) or has the colour of one. INSTANCES is the label map's instance map, where
dataset.json has edges: a number for each pixel, another one for each thing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent


def photo(path: str) -> np.ndarray:
    """uint8 [H, W, 3]: upright, 8 bits a channel, on white where it is transparent."""
    image: Image.Image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I"):  # grey of 16 bits
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255)), image)
    return np.asarray(image.convert("RGB"))


def classes(path: str, palette: list) -> np.ndarray:
    """uint8 [H, W]."""
    image: Image.Image = Image.open(path)
    if image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode[:-1])
    values = np.asarray(image)
    if image.mode != "RGB":  # pixels are classes
        if values.min() < 0 or values.max() >= len(palette):
            sys.exit(f"{path}: classes are 0 to {len(palette) - 1}, found {values.min()} to {values.max()}")
        return values.astype(np.uint8)
    found = np.full(values.shape[:2], -1)
    for index in reversed(range(len(palette))):  # of two classes of one colour the first is meant
        found[(values == palette[index]).all(axis=2)] = index
    if (found < 0).any():
        sys.exit(f"{path}: has colours that are not in the palette of dataset.json")
    return found.astype(np.uint8)


def edges(ids: np.ndarray) -> np.ndarray:
    """Instances [H, W] -> uint8 [H, W]: 1 where a pixel's number is not that of a neighbour."""
    found = np.zeros(ids.shape, np.uint8)
    across, down = ids[:, 1:] != ids[:, :-1], ids[1:] != ids[:-1]
    for part, differ in ((found[:, 1:], across), (found[:, :-1], across), (found[1:], down), (found[:-1], down)):
        part |= differ
    return found


def main() -> None:
    dataset = json.loads((HERE / "dataset.json").read_text())
    given = sys.argv[1:]
    if len(given) != (3 if dataset["edges"] else 2):
        sys.exit("python example.py INPUT OUTPUT" + (" INSTANCES" if dataset["edges"] else ""))
    if dataset["kind"] == "labels":
        pixels = classes(given[0], dataset["palette"])
        if dataset["edges"]:
            pixels = np.stack([pixels, edges(np.asarray(Image.open(given[2])))], axis=2)  # [H, W, 2]
    else:
        pixels = photo(given[0])
    model = next(HERE / name for name in ("student.onnx", "student-int8.onnx") if (HERE / name).exists())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: pixels[None]})  # uint8 [1, H, W, 3]
    Image.fromarray(result[0]).save(given[1])


if __name__ == "__main__":
    main()
