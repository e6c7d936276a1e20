"""Photos that occur in two splits, exactly or nearly: whoever trains on one has seen the answer to the other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def duplicates(splits: Sequence[str], names: Sequence[str], photos: Sequence[str]) -> list[str | None]:
    """For each photo one of another split with pixel for pixel the same photo, as `split/name`, or None.

    splits, names, photos: by row; the last holds hashes of pixels.
    """
    places: dict[str, dict[str, str]] = {}  # photo -> split -> the first name there
    for split, name, photo in zip(splits, names, photos, strict=True):
        places.setdefault(photo, {}).setdefault(split, name)
    return [
        next((f"{other}/{name}" for other, name in places[photo].items() if other != split), None)
        for split, photo in zip(splits, photos, strict=True)
    ]


def near_duplicates(
    splits: Sequence[str],
    names: Sequence[str],
    photos: Sequence[str],
    hashes: Sequence[str],
    tones: NDArray[np.float64],
    bits: int,
    tone: float,
) -> list[str | None]:
    """For each photo the nearest of another split that shows nearly the same photo, as `split/name (n bits)`, or None.

    hashes: 64-bit difference hashes, 16 hex digits each. tones: [N, T], in [0, 1].
    The difference hash sees only where an 8 x 8 picture grows brighter to the right, so scenes laid out alike can share
    most of it. Two photos are therefore near-duplicates only when their tone agrees too: each of the T numbers within
    `tone`. Re-encoding, rescaling or light noise changes few bits and hardly any tone.
    Equal photos are left out: `duplicates` names them.
    """
    codes = np.array([int(value, 16) for value in hashes], dtype=np.uint64)  # [N]
    split_of, photo_of = np.array(splits), np.array(photos)
    found: list[str | None] = []
    for i in range(len(codes)):
        distance = np.bitwise_count(codes ^ codes[i])  # [N]
        candidates = np.flatnonzero((distance <= bits) & (split_of != split_of[i]))
        # Rounding to six decimals must not decide, hence the slack.
        alike = np.abs(tones[candidates] - tones[i]).max(axis=1, initial=0) <= tone + 1e-9
        twins = candidates[alike & (photo_of[candidates] != photo_of[i])]
        nearest = min(twins, key=lambda j: distance[j], default=None)
        found.append(None if nearest is None else f"{splits[nearest]}/{names[nearest]} ({distance[nearest]} bits)")
    return found
