"""What a request may ask for, and how it is told no."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """bytes: of a body. pixels: of all images of a request together. side: of an image, in pixels: a sliver is padded
    to what the network takes, and so costs more than its pixels say. images: of a request. requests: worked on at
    once; one more is sent away. seconds: that a body may take to arrive.
    """

    bytes: int = 8 * 2**20
    pixels: int = 2**21
    side: int = 4096
    images: int = 64
    requests: int = 64
    seconds: float = 30.0


class Refused(Exception):
    """A request that is not answered with photos. status: of HTTP, 4xx, or 503 of a server that has enough to do."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
