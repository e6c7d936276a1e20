"""Images that occur in two splits, exactly or nearly: whoever trains on one has seen the answer to the other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def duplicates(splits: Sequence[str], names: Sequence[str], pixels: Sequence[tuple[str, ...]]) -> list[str | None]:
    """For each item one of another split that is pixel for pixel the same, as `split/name`, or None.

    splits, names, pixels: by item; the last holds hashes of pixels, one for each of its images.
    """
    places: dict[tuple[str, ...], dict[str, str]] = {}  # pixels -> split -> the first name there
    for split, name, held in zip(splits, names, pixels, strict=True):
        places.setdefault(held, {}).setdefault(split, name)
    return [
        next((f"{other}/{name}" for other, name in places[held].items() if other != split), None)
        for split, held in zip(splits, pixels, strict=True)
    ]


def near_duplicates(
    splits: Sequence[str],
    names: Sequence[str],
    pixels: Sequence[tuple[str, ...]],
    hashes: Sequence[tuple[str, ...]],
    tones: NDArray[np.float64],
    bits: int,
    tone: float,
) -> list[str | None]:
    """For each item the nearest of another split that shows nearly the same, as `split/name (n bits)`, or None.

    splits, names, pixels, hashes: by item, N of them with S images each; hashes: 64-bit difference hashes, 16 hex
    digits each. tones: [N, T], in [0, 1].
    The difference hash sees only where an 8 x 8 picture grows brighter to the right, so scenes laid out alike can share
    most of it. Two items are therefore near-duplicates only when their tone agrees too: each of the T numbers within
    `tone`, and each of the S hashes within `bits`. Re-encoding, rescaling or light noise changes few bits and hardly
    any tone.
    Equal items are left out: `duplicates` names them.
    """
    codes = np.array([[int(value, 16) for value in held] for held in hashes], dtype=np.uint64)  # [N, S]
    split_of = np.array(splits)
    found: list[str | None] = []
    for i in range(len(codes)):
        distance = np.bitwise_count(codes ^ codes[i]).max(axis=1)  # [N, S] -> [N]
        candidates = np.flatnonzero((distance <= bits) & (split_of != split_of[i]))
        # Rounding to six decimals must not decide, hence the slack.
        alike = np.abs(tones[candidates] - tones[i]).max(axis=1, initial=0) <= tone + 1e-9
        twins = [j for j in candidates[alike] if pixels[j] != pixels[i]]
        nearest = min(twins, key=lambda j: distance[j], default=None)
        found.append(None if nearest is None else f"{splits[nearest]}/{names[nearest]} ({distance[nearest]} bits)")
    return found
