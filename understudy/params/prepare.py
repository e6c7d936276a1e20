from dataclasses import dataclass

from understudy.params.loader import require


@dataclass(frozen=True)
class Prepare:
    """source: a drawn set's description (.yaml), a folder or an archive of photo and label pairs, or s3://BUCKET/KEY of
    a folder or an archive there (docs/add-a-dataset.md).

    size: height and width in pixels that images are brought to; each a multiple of 4, as the generators down-sample
    twice, and at least 24, below which nothing is left of an image in the discriminator.
    """

    source: str
    size: tuple[int, int]

    def __post_init__(self) -> None:
        require(
            all(s >= 24 and s % 4 == 0 for s in self.size), "size", f"multiples of 4, at least 24; found {self.size}"
        )
