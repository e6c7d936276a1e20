"""How far an exported file's photos are from the student's own, level by level."""

from dataclasses import asdict, dataclass

import numpy as np

from understudy.errors import DATA_FAILED, UserError

# Of a file in fp32. Two ways of adding up may round to neighbouring levels, here and there and no further.
MOST_LEVELS = 2
MEAN_LEVELS = 0.05


@dataclass(frozen=True)
class Parity:
    """most, mean: absolute difference in 8-bit levels. share: of the values (pixels by colours) that differ at all."""

    most: int
    mean: float
    share: float

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def compare(exported: np.ndarray, own: np.ndarray) -> Parity:
    """exported, own: uint8 [N, H, W, 3], of the same label maps."""
    if exported.shape != own.shape or exported.dtype != np.uint8:
        raise UserError(
            f"the exported file gives {exported.dtype} {exported.shape}, the student {own.shape}", DATA_FAILED
        )
    differences = np.abs(exported.astype(np.int16) - own)
    return Parity(int(differences.max()), float(differences.mean()), float((differences > 0).mean()))


def require_same(parity: Parity, where: object) -> None:
    """Raise UserError, naming `where`, when an exported file in fp32 is not the student that it was made from."""
    if parity.most > MOST_LEVELS or parity.mean > MEAN_LEVELS:
        raise UserError(
            f"{where}: is not the student: its photos differ by up to {parity.most} of 255 levels, "
            f"{parity.mean:.3g} on average ({MOST_LEVELS} and {MEAN_LEVELS} are allowed); requirements.lock has the "
            "versions of torch and onnxruntime that were tried, and export.formats: [] goes on without exports",
            DATA_FAILED,
        )
