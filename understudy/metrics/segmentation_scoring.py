"""mIoU and pixel accuracy of every model by a segmentation network of the user's: how published numbers are measured.

With the data set's original label maps this is the protocol of GAN Compression and CAT (Jin et al. 2021, section 4): a
photo enters at its own size, the scores of each class come bilinearly to the label map's size, the largest wins, and
pixels of classes that the network does not know are left out. Without them the same at the prepared size, under
another name.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.data.prepared import DatasetInfo, Split, class_plane
from understudy.errors import UserError
from understudy.metrics.original_labels import original_labels
from understudy.metrics.protocol import Labels, metric, onnx_name, segmentation_metric
from understudy.metrics.score import Estimate, estimate
from understudy.metrics.segmentation import confusion_matrices, mean_iou, pixel_accuracy
from understudy.metrics.segmentation_network import KEY, SegmentationNetwork
from understudy.params.evaluate import Segmentation

TIMED = 4  # photos, to tell how long all will take
STATISTICS = {"miou": mean_iou, "pixel_accuracy": pixel_accuracy}


class SegmentationScoring:
    """asked: which network, and how it is fed and read. info: of the data set.

    Raises UserError when the data have no label maps, a class is not one of theirs, or the network cannot be used.
    """

    def __init__(self, asked: Segmentation, info: DatasetInfo) -> None:
        if info.kind != "labels":
            raise UserError(f"{KEY}: data set {info.name} translates photos, and has no label maps that a network "
                            "could find again; set it to null")  # fmt: skip
        self._asked, self._info = asked, info
        self._scored, self._true, self._read = _tables(asked, info)
        self._net = SegmentationNetwork(asked, info.size)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics."""
        asked = self._asked
        labels: Labels = "prepared" if asked.originals is None else "original"
        network = onnx_name(asked.sha256, asked.reading())
        return tuple(segmentation_metric(statistic, network, asked.size, labels) for statistic in STATISTICS)

    def seconds(self, models: int) -> float:
        """What scoring so many models will take at the prepared size, by a few blank photos; real ones count as one."""
        info = self._info
        photos = torch.zeros(TIMED, 3, *info.size, dtype=torch.uint8)
        start = time.perf_counter()
        for said in self._net.see(photos):
            to_labels(said, info.size)
        return (time.perf_counter() - start) * info.counts["test"] * models / TIMED

    def score(self, photos: Mapping[str, Tensor], split: Split, weights: Tensor) -> dict[str, dict[str, Estimate]]:
        """Both metrics of every model, by its name.

        photos: uint8 [N, 3, H, W] that each model made of the split's label maps, in their order, or the real ones.
        weights: float64 [R, N], times drawn on each resample of the bootstrap, as for the other metrics.
        """
        info, asked = self._info, self._asked
        others = [name for index, name in enumerate(info.classes) if int(self._true[index]) == self._scored]
        print(f"scoring by {asked.network}: {self._scored} classes; left out: {', '.join(others) or 'none'}",
              flush=True)  # fmt: skip
        labels: Callable[[int], Tensor] = (
            class_plane(split.inputs).__getitem__
            if asked.originals is None
            else original_labels(asked.originals, split, info)
        )
        return {
            name: self._estimates(torch.cat(list(self._confusion(images, labels))), weights)
            for name, images in photos.items()
        }

    def _confusion(self, images: Tensor, labels: Callable[[int], Tensor]) -> Iterator[Tensor]:
        """Of each image, int64 [1, S + 1, S + 1]: S is what is left out of the labels, and misses in what was read."""
        for index, said in enumerate(self._net.see(images)):
            truth = self._true[labels(index).long()]  # [H, W]
            read = self._read[to_labels(said, (truth.shape[0], truth.shape[1]))]
            yield confusion_matrices(truth[None], read[None], self._scored + 1, ignore=self._scored)

    def _estimates(self, confusion: Tensor, weights: Tensor) -> dict[str, Estimate]:
        """confusion: [N, C, C]; weights: float64 [R, N], times drawn."""
        total = confusion.sum(0)
        resampled = (weights @ confusion.double().flatten(1)).unflatten(1, total.shape)  # [R, CC] -> [R, C, C]
        return {
            name: estimate(metric(name), statistic(total).item(), statistic(resampled), len(confusion))
            for name, statistic in zip(self.names, STATISTICS.values(), strict=True)
        }


def to_labels(said: Tensor, size: tuple[int, int]) -> Tensor:
    """What the network says of one photo -> its classes at a label map's size, int64 [H, W].

    said: scores float [K, h, w], which come to `size` bilinearly before the largest is taken (of equal ones the first);
    or classes int64 [h, w], which come to it by the nearest pixel. One class after the other: at 1024 x 2048 px all of
    them would take 8 MB each.
    """
    if said.dim() == 2:
        return F.interpolate(said[None, None].double(), size, mode="nearest-exact")[0, 0].long()
    best = torch.full(size, -torch.inf)
    classes = torch.zeros(size, dtype=torch.int64)
    for index, scores in enumerate(said):
        sized = F.interpolate(scores[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        larger = sized > best
        best[larger], classes[larger] = sized[larger], index
    return classes


def _tables(asked: Segmentation, info: DatasetInfo) -> tuple[int, Tensor, Tensor]:
    """S, how many classes are scored; then 0 to S - 1, or S for none of them, by the data's class and the network's."""
    if unknown := [name for name in asked.classes if name is not None and name not in info.classes]:
        raise UserError(f"{KEY}.classes: {unknown[0]} is no class of data set {info.name}, which has "
                        f"{', '.join(info.classes)}; null stands for a class that the data do not have")  # fmt: skip
    ignored = None if info.ignore is None or info.ignore >= info.num_classes else info.classes[info.ignore]
    scored = [name for name in info.classes if name in asked.classes and name != ignored]
    if not scored:
        raise UserError(f"{KEY}.classes: names no class that is scored; {ignored} is left out by metrics")
    places = {name: index for index, name in enumerate(scored)}
    true = torch.full((256,), len(scored))  # whatever a label map may hold: 255 is a common index to ignore
    true[: info.num_classes] = torch.tensor([places.get(name, len(scored)) for name in info.classes])
    read = torch.tensor([places.get(name, len(scored)) if name else len(scored) for name in asked.classes])
    return len(scored), true, read
