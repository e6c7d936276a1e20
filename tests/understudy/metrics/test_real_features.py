"""Features of real photos are made once, and again when what is kept is not what was written."""

import pytest
import torch

from understudy.metrics.real_features import kept_features

ORIGIN = {"photos": "a", "weights": "b", "resize": "bilinear299"}
MADE = torch.randn(20, 32, generator=torch.Generator().manual_seed(0))


def never():
    raise AssertionError("the cache should have known")


def test_they_are_made_once_for_each_origin(tmp_path):
    assert torch.equal(kept_features(tmp_path, ORIGIN, lambda: MADE.split(6)), MADE)
    assert torch.equal(kept_features(tmp_path, ORIGIN, never), MADE)
    for name in ORIGIN:
        with pytest.raises(AssertionError):
            kept_features(tmp_path, ORIGIN | {name: "other"}, never)


@pytest.mark.parametrize("damage", ["cut off", "one bit", "empty", "another file"])
def test_they_are_made_again_when_damaged(tmp_path, damage):
    kept_features(tmp_path, ORIGIN, lambda: [MADE])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    bit = bytearray(whole)
    bit[-5] ^= 1
    path.write_bytes({"cut off": whole[:-7], "one bit": bytes(bit), "empty": b"", "another file": b"x" * 300}[damage])
    assert torch.equal(kept_features(tmp_path, ORIGIN, lambda: [MADE]), MADE)
    assert torch.equal(kept_features(tmp_path, ORIGIN, never), MADE)
