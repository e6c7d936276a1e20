"""Image files of every kind -> RGB photos and class-index label maps, or the reason why not."""

import io
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from understudy.data.source import Classes

# What a camera, a scanner or an editor writes. Others are refused, those above all that Pillow hands to other programs.
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
# Every mode in which Pillow gives such a photo and that has a defined way to RGB; CIE Lab and floats have none.
PHOTO_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "I", "I;16", "I;16B", "CMYK", "YCbCr")
LABEL_FORMATS = ("PNG",)  # lossless and the only one that everyone writes alike
WHITE = (255, 255, 255)
Half = Literal["A", "B"]  # of an image that holds two: left, right
# Of a label map's colours in a lossy format: the distance (Euclidean, of 441) from every class's colour from which on a
# pixel is far off, and the share of such pixels, where regions meet, up to which the file passes for a label map.
FAR_OFF, MAX_FAR_OFF = 50, 0.05


class BadImage(Exception):
    """An image that cannot be used; the message is the reason."""


def read_photo(content: bytes) -> tuple[Image.Image, str]:
    """Any image file -> (RGB image, upright, 8 bits a channel; the mode it was stored in). Raises BadImage.

    Converted: greyscale, palette, CMYK, EXIF orientation; transparency is laid on white. Of 16 bits greyscale is
    rounded to 8; of colours Pillow keeps the high byte. Of several frames the first is taken.
    """
    image = _open(content, PHOTO_FORMATS)
    mode = image.mode
    if mode == "F":
        raise BadImage("floating-point pixels have no agreed range; save it with 8 or 16 bits")
    if mode not in PHOTO_MODES:
        raise BadImage(f"pixels of mode {mode}; save it as RGB")
    image = ImageOps.exif_transpose(image)
    if mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB"), mode
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, WHITE), opaque)
    return image.convert("RGB"), mode


def read_label(
    content: bytes, classes: Classes, formats: tuple[str, ...] = LABEL_FORMATS
) -> tuple[NDArray[np.uint8], str]:
    """An image file of one of `formats` -> (class indices uint8 [H, W]; the mode it was stored in). Raises BadImage.

    Greyscale and palette pixels are indices; RGB ones are looked up in the palette of the classes.
    """
    image = _open(content, formats)
    mode = image.mode
    if mode == "RGBA" or mode == "LA":
        if image.getchannel("A").getextrema() != (255, 255):
            raise BadImage("label map is transparent in places: its class is not told there")
        image = image.convert(mode[:-1])
    if image.mode == "RGB":
        return _from_colours(np.asarray(image), classes), mode
    values = np.asarray(image)
    if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
        raise BadImage(f"label map of mode {mode}; greyscale, palette or RGB expected")
    if bad := [int(value) for value in np.unique(values) if not 0 <= value < len(classes.names)]:
        raise BadImage(f"label value {_some(bad)} out of range: classes are 0 to {len(classes.names) - 1}")
    if image.mode == "P":
        _check_palette(image, values, classes)
    return values.astype(np.uint8), mode


def read_instances(content: bytes, formats: tuple[str, ...] = LABEL_FORMATS) -> NDArray[np.int32]:
    """An image file of one of `formats` -> instance ids [H, W]. Raises BadImage.

    Greyscale of 8 or 16 bits, or palette indices: only where the ids change is ever looked at, not what they are.
    """
    image = _open(content, formats)
    if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
        raise BadImage(f"instance map of mode {image.mode}; greyscale or palette expected, an id for each pixel")
    return np.asarray(image).astype(np.int32)


def read_lossy_label(content: bytes, classes: Classes, side: Half | None) -> tuple[NDArray[np.uint8], str]:
    """A colour image, or one half of it, in any format -> (class indices uint8 [H, W]; the mode it was stored in).

    Each pixel is of the class whose colour is nearest to its own. Raises BadImage, also when more than MAX_FAR_OFF of
    the pixels are FAR_OFF or further from the nearest: then it is another palette, or a photo.
    """
    image, mode = read_photo(content)
    codes = _codes(np.asarray(half(image, side) if side else image))
    present, inverse = np.unique(codes, return_inverse=True)  # [H, W] -> [U], [H W]
    colours = np.stack((present >> 16, present >> 8 & 255, present & 255), axis=1).astype(np.int32)  # [U, 3]
    best = np.full(len(present), np.inf)
    index = np.zeros(len(present), np.uint8)
    for number, colour in enumerate(classes.palette):  # by class: a photo has as many colours as pixels
        distance = ((colours - np.array(colour, np.int32)) ** 2).sum(axis=1)  # [U]
        index[distance < best] = number
        best = np.minimum(best, distance)
    far = float((best[inverse] >= FAR_OFF**2).mean())
    if far > MAX_FAR_OFF:
        raise BadImage(
            f"{far:.0%} of its pixels are far from every colour of the palette, at most {MAX_FAR_OFF:.0%} may be: "
            "another palette, or the photo and not the label map (prepare.direction)"
        )
    return index[inverse].reshape(codes.shape), mode


def half(image: Image.Image, side: Half) -> Image.Image:
    """The left (A) or right (B) half of an image. Raises BadImage for an odd width."""
    width, height = image.size
    if width % 2:
        raise BadImage(f"is {width} pixels wide, and halves of one width are expected side by side")
    return image.crop((0, 0, width // 2, height) if side == "A" else (width // 2, 0, width, height))


def _open(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Decode wholly, so that a truncated file is found here. Pillow's limit on pixels is a hard one."""
    if not content:
        raise BadImage("empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Remarks on odd metadata do not concern the pixels.
            warnings.simplefilter("ignore", UserWarning)
            image = Image.open(io.BytesIO(content), formats=formats)
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(f"enormous: more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from None
    except UnidentifiedImageError:
        raise BadImage(f"not an image: damaged header, zero size, or none of {', '.join(formats)}") from None
    # What Pillow's decoders raise on bytes that make no sense, beside OSError, differs from format to format.
    except (OSError, SyntaxError, ValueError, IndexError, TypeError, EOFError, OverflowError) as error:
        raise BadImage(f"corrupt or truncated: {error}") from error
    return image


def _eight_bits(values: NDArray) -> NDArray[np.uint8]:
    """Greyscale of 16 bits, which Pillow may hold in 32 -> uint8, rounded."""
    if values.min() < 0 or values.max() > 65535:
        raise BadImage("greyscale of more than 16 bits; save it with 8 or 16")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _codes(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGB [H, W, 3] -> one number for each colour [H, W]."""
    return colours.astype(np.uint32) @ np.array((65536, 256, 1), np.uint32)


def _from_colours(colours: NDArray[np.uint8], classes: Classes) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] -> class indices [H, W]."""
    codes = _codes(colours)
    known: dict[int, int] = {}
    for index, (r, g, b) in enumerate(classes.palette):
        known.setdefault(r << 16 | g << 8 | b, index)  # Cityscapes draws some classes alike: the first is meant
    present, inverse = np.unique(codes, return_inverse=True)
    if unknown := [tuple(int(code).to_bytes(3, "big")) for code in present if int(code) not in known]:
        raise BadImage(f"colour {_some(unknown)} is not in the palette of the classes")
    return np.array([known[int(code)] for code in present], np.uint8)[inverse.reshape(codes.shape)]


def _check_palette(image: Image.Image, values: NDArray, classes: Classes) -> None:
    """An editor that sorts a palette anew changes every index and no colour: nobody would see it in the file."""
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    for value in np.unique(values):
        colour = tuple(int(channel) for channel in colours[value]) if value < len(colours) else None
        if colour in classes.palette and colour != classes.palette[value]:
            other = classes.names[classes.palette.index(colour)]
            raise BadImage(f"index {value} ({classes.names[value]}) is drawn in the colour of {other}: which is meant?")


def _some(values: list) -> str:
    return ", ".join(map(str, values[:4])) + (f" and {len(values) - 4} more" if len(values) > 4 else "")
