"""A user's own segmentation network, an ONNX file: from photos to scores of its classes, or to the classes themselves.

It is run by ONNX Runtime on the CPU, in fp32, a few photos at a time.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.errors import UserError, in_one_line
from understudy.fetch import read_verified
from understudy.params.evaluate import Segmentation
from understudy.runtime import threads

KEY = "evaluate.segmentation"
PIXELS = 1 << 18  # entering at once, where the file takes more than one photo: a matter of memory alone


class SegmentationNetwork:
    """asked: the file, and how it is fed and read. size: height and width of the photos.

    Raises UserError when the file cannot be had, loaded or run, or is not as described: it is tried with a blank photo.
    """

    def __init__(self, asked: Segmentation, size: tuple[int, int]) -> None:
        content = read_verified(asked.network, asked.sha256, f"{KEY}.network")
        try:
            from understudy.onnx_session import open_session
        except ModuleNotFoundError as error:
            raise UserError(f"{KEY}: needs {error.name}, which is not installed; `pip install understudy[export]`, "
                            "or set the key to null") from error  # fmt: skip
        self._asked, self._where = asked, f"{KEY}: {asked.network}"
        self._session = open_session(content, threads(), self._where)
        self._batch = self._check_signature(asked.size or size)
        for _ in self.see(torch.zeros(1, 3, *size, dtype=torch.uint8)):
            pass

    def see(self, photos: Tensor) -> Iterator[Tensor]:
        """What the network says of each photo, uint8 [N, 3, H, W]: one after the other, at the network's own size h, w.

        float32 [K, h, w] where it gives scores, int64 [h, w] where it gives classes. Raises UserError for what is
        neither, for another number of classes than described, and for scores that are no numbers.
        """
        for some in photos.split(self._batch):
            inputs = self._enter(some).numpy()
            try:
                found = np.asarray(self._session.run([self._asked.output], {self._input: inputs})[0])
            except Exception as error:  # ONNX Runtime has an exception of its own for every way of failing
                raise UserError(f"{self._where}: cannot take photos {list(inputs.shape)} ({in_one_line(error)}); "
                                f"{KEY}.size is that at which they enter, and layout the order of their axes"
                                ) from error  # fmt: skip
            yield from (
                self._scores(found, len(some)) if self._asked.gives == "scores" else self._classes(found, len(some))
            )

    def _enter(self, photos: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32 as the network takes it, [B, 3, h, w] or [B, h, w, 3]."""
        asked, x = self._asked, photos.float() / 255
        if asked.size is not None and asked.size != tuple(x.shape[2:]):
            x = F.interpolate(x, asked.size, mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (asked.mean, asked.std))
        x = (x - mean) / std
        return x if asked.layout == "NCHW" else x.permute(0, 2, 3, 1).contiguous()

    def _scores(self, found: np.ndarray, count: int) -> Tensor:
        """Scores in the network's layout -> float32 [B, K, h, w]."""
        classes = len(self._asked.classes)
        axis = 1 if self._asked.layout == "NCHW" else 3
        shape = list(found.shape)
        if len(shape) != 4 or shape[0] != count or not np.issubdtype(found.dtype, np.floating):
            expected = f"[{count}, K, h, w]" if axis == 1 else f"[{count}, h, w, K]"
            self._refuse(f"is {found.dtype} {shape}, expected floating-point scores {expected}")
        if shape[axis] != classes:
            self._refuse(f"has scores of {shape[axis]} classes, and {KEY}.classes names {classes}")
        scores = torch.from_numpy(found.astype(np.float32))
        if not scores.isfinite().all():
            self._refuse("holds a score that is NaN or infinite; look at the network, and at mean and std")
        return scores if axis == 1 else scores.permute(0, 3, 1, 2)

    def _classes(self, found: np.ndarray, count: int) -> Tensor:
        """Class ids [B, h, w], with or without an axis of one for the channels -> int64 [B, h, w]."""
        shape = list(found.shape)
        if len(shape) == 4 and 1 in (shape[1], shape[3]):
            found = found.squeeze(1 if shape[1] == 1 else 3)
        if found.ndim != 3 or len(found) != count or not np.issubdtype(found.dtype, np.integer):
            self._refuse(f"is {found.dtype} {shape}, expected integer classes [{count}, h, w]")
        ids = torch.from_numpy(found.astype(np.int64))
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(self._asked.classes):
            self._refuse(f"holds classes {int(ids.min())} to {int(ids.max())}, and {KEY}.classes names "
                         f"{len(self._asked.classes)}")  # fmt: skip
        return ids

    def _refuse(self, fault: str) -> None:
        raise UserError(f"{self._where}: its output {self._asked.output} {fault}")

    def _check_signature(self, size: tuple[int, int]) -> int:
        """How many photos the file takes at once. size: at which they enter. Raises UserError when it takes none."""
        asked, inputs = self._asked, self._session.get_inputs()
        outputs = [output.name for output in self._session.get_outputs()]
        if asked.output not in outputs:
            raise UserError(f"{self._where}: has no output {asked.output}; its outputs are {', '.join(outputs)}")
        if len(inputs) != 1:
            names = ", ".join(entry.name for entry in inputs)
            raise UserError(f"{self._where}: takes {len(inputs)} inputs ({names}), expected the photos alone")
        (photos,) = inputs
        self._input = photos.name
        expected = [3, *size] if asked.layout == "NCHW" else [*size, 3]
        taken = list(photos.shape)
        fits = len(taken) == 4 and all(
            not isinstance(side, int) or side == given for side, given in zip(taken[1:], expected, strict=True)
        )
        if photos.type != "tensor(float)" or not fits or (isinstance(taken[0], int) and taken[0] != 1):
            raise UserError(
                f"{self._where}: its input {photos.name} is {photos.type} {taken}, and photos enter as tensor(float) "
                f"{['N', *expected]}; {KEY}.layout and size say how, and N must be free or 1"
            )
        return 1 if isinstance(taken[0], int) else max(1, PIXELS // (size[0] * size[1]))
