from dataclasses import dataclass

from understudy.data.terms import Direction, Kind
from understudy.params.loader import require


@dataclass(frozen=True)
class Prepare:
    """source: a description (.yaml), a folder or an archive, or s3://BUCKET/KEY of a folder or an archive there
    (docs/add-a-dataset.md).

    kind: what is translated into photos: `labels`, label maps; `photos`, photos with their translation; `unpaired`,
    photos of one domain into those of another, without pairs.
    direction: which side is translated into which, for sets whose sides are called A and B; null for others.
    instances: whether networks see the edges of instances as one more channel (GauGAN), taken from instance maps that
    lie beside the label maps.
    size: height and width in pixels that networks see; each a multiple of 4, as the generators down-sample twice, and
    at least 24, below which nothing is left of an image in the discriminator.
    load_size: height and width of the training images, of which each step sees a random window of `size`; null: `size`.
    Whatever is set here, each step mirrors about half of its training images left to right.
    """

    source: str
    kind: Kind
    direction: Direction | None
    instances: bool
    size: tuple[int, int]
    load_size: tuple[int, int] | None

    def __post_init__(self) -> None:
        require(
            all(s >= 24 and s % 4 == 0 for s in self.size), "size", f"multiples of 4, at least 24; found {self.size}"
        )
        require(
            not self.instances or self.kind == "labels", "instances", "only label maps have instances; set it to false"
        )
        require(
            self.load_size is None or all(s <= large for s, large in zip(self.size, self.load_size, strict=True)),
            "load_size", f"at least `size`, {self.size}; found {self.load_size}",
        )  # fmt: skip
