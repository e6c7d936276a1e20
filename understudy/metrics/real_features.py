"""Features of real photos, kept from run to run: they change only with the photos, the network or the resize.

Kept under the hash of everything that they follow from, device and threads included: what is taken up again is what
making it anew would give, byte for byte. Outside DVC's outputs; a file that is missing or damaged is made again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from understudy.files import atomic

SCHEMA = 1


def kept_features(folder: Path, origin: Mapping[str, str], make: Callable[[], Iterable[Tensor]]) -> Tensor:
    """Features float32 [N, D], from the cache or from `make`, which gives them in batches [B, D].

    folder: of the cache. origin: everything that the features follow from, by name.
    """
    described = json.dumps({"schema": SCHEMA, "torch": torch.__version__, **origin}, sort_keys=True)
    path = folder / f"features-{hashlib.sha256(described.encode()).hexdigest()}.safetensors"
    features = _load(path)
    if features is None:
        features = torch.cat(list(make())).float().contiguous()
        with atomic(path) as temporary:
            save_file({"features": features}, temporary, {"origin": described, "sha256": _digest(features)})
    return features


def _load(path: Path) -> Tensor | None:
    """The features in a file, or None when it is missing or its content is not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            features, written = file.get_tensor("features"), (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    return features if _digest(features) == written else None


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().tobytes()).hexdigest()
