from dataclasses import dataclass

from understudy.data.terms import SPLITS
from understudy.params.loader import require


@dataclass(frozen=True)
class Check:
    """What the prepared data must meet before anything trains on it.

    min_images: of each side, by split. min_class_images: pairs in which a class is seen, by split, where inputs
    are label maps; the ignored one is exempt.
    photo_modes, label_modes: Pillow modes that source files may have had before `prepare` converted them.
    max_upscale: factor by which a source may have been enlarged; 1 demands sources at least as large as `prepare.size`.
    near_duplicate_bits, near_duplicate_tone: photos of two splits are near-duplicates when their 64-bit difference
    hashes differ in at most so many bits, and brightness, contrast, red, green and blue each by at most so much.
    max_repeated: the share of images that may repeat one of another split, exactly or nearly; 0 for a set that can be
    mended, more for a published one that has to stay as it is.
    brightness, colour: range of a photo's mean over all channels, and of each channel's, in [0, 1].
    min_contrast: lower bound of a photo's standard deviation, in [0, 1]: a flat image is no photo.
    """

    min_images: dict[str, int]
    min_class_images: dict[str, int]
    photo_modes: tuple[str, ...]
    label_modes: tuple[str, ...]
    max_upscale: float
    near_duplicate_bits: int
    near_duplicate_tone: float
    max_repeated: float
    brightness: tuple[float, float]
    colour: tuple[float, float]
    min_contrast: float

    def __post_init__(self) -> None:
        for name, least in (("min_images", 2), ("min_class_images", 0)):
            counts = getattr(self, name)
            require(
                set(counts) == set(SPLITS), name, f"expected the keys {', '.join(SPLITS)}; found {', '.join(counts)}"
            )
            require(min(counts.values()) >= least, name, f"at least {least} in each split, found {counts}")
        for name in ("photo_modes", "label_modes"):
            require(len(getattr(self, name)) > 0, name, "name at least one mode, such as RGB")
        require(self.max_upscale > 0, "max_upscale", f"must be positive, found {self.max_upscale}")
        bits = self.near_duplicate_bits
        require(0 <= bits < 32, "near_duplicate_bits", f"must be in [0, 32) of 64 bits, found {bits}")
        for name in ("near_duplicate_tone", "max_repeated", "min_contrast"):
            require(0 <= getattr(self, name) <= 1, name, f"must be in [0, 1], found {getattr(self, name)}")
        for name in ("brightness", "colour"):
            low, high = getattr(self, name)
            require(0 <= low < high <= 1, name, f"expected 0 <= low < high <= 1, found {low}, {high}")
