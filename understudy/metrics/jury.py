"""Every metric of translations of the test split: by the run's judge, and by what networks the parameters name.

What evaluate scores models by, export the files that it makes, and promotion a student and the champion: the same code,
on the same images and resamples, so that any two of them can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from understudy.data.prepared import DatasetInfo, Split
from understudy.metrics.bootstrap import resample
from understudy.metrics.inception_scoring import InceptionScoring
from understudy.metrics.judge import load_judge
from understudy.metrics.protocol import L1_TO_TEACHER
from understudy.metrics.score import Estimate, Scorer, observe, observe_real
from understudy.metrics.segmentation_scoring import SegmentationScoring
from understudy.params.evaluate import Evaluate

TEACHER, REAL = "teacher", "real"  # what two of those that are scored are called, and treated as
PREPARED, CACHE = Path("artifacts/prepare"), Path(".understudy/cache")  # under ROOT: the splits; what is seen in them


@dataclass(frozen=True)
class Score:
    """Of one model. metrics: by name. classes: the IoU of each class that the test labels contain, by its name."""

    metrics: dict[str, Estimate]
    classes: dict[str, Estimate]


class Jury:
    """The judge, and beside it the networks that section `evaluate` names; None where it names none.

    folder: the judge's. Raises UserError when one of them is missing, damaged, or of data with other classes.
    """

    def __init__(self, folder: Path, asked: Evaluate, seed: int, info: DatasetInfo, device: torch.device) -> None:
        self.judge = load_judge(folder, info).to(device)
        self.inception = None if asked.inception is None else InceptionScoring(asked.inception, device)
        self.segmentation = None if asked.segmentation is None else SegmentationScoring(asked.segmentation, info)
        self._info, self._resamples, self._seed = info, asked.resamples, seed

    def named_seconds(self, models: int, real: bool) -> float:
        """What the networks that the parameters name will take for so many models, the intervals aside.

        real: for the real photos as well, which Inception looks at once for all that is scored.
        """
        seconds = self.inception.seconds(self._info, models, real) if self.inception else 0.0
        return seconds + (self.segmentation.seconds(models + real) if self.segmentation else 0.0)

    def score(
        self, photos: Mapping[str, Tensor], split: Split, root: Path, teacher: Tensor | None = None
    ) -> dict[str, Score]:
        """Score every model by its name; each network looks at each image once.

        photos: uint8 [N, 3, H, W] that each model made of the test split's inputs. Under REAL the split's own, which
        are read as a ceiling and have no distance to themselves; under TEACHER those of `teacher`. Both may be absent.
        split: of the test. root: that has the prepared splits. teacher: whose photos the others are compared with.
        """
        info = self._info
        drawn = resample(info.kind, len(split.inputs), len(split.photos), self._resamples, self._seed)
        real = observe_real(self.judge, split)
        scorer = Scorer(info.kind, real, drawn)
        metrics: dict[str, dict[str, Estimate]] = {}
        classes: dict[str, dict[str, Estimate]] = {}
        for name, images in photos.items():
            seen = real if name == REAL else observe(self.judge, images, split.inputs)
            metrics[name] = scorer.score_real() if name == REAL else scorer.score(seen)
            if teacher is not None and name not in (TEACHER, REAL):
                metrics[name][L1_TO_TEACHER] = scorer.l1_to_teacher(images, teacher)
            classes[name] = {info.classes[index]: iou for index, iou in scorer.score_classes(seen).items()}
        for metric, needed in scorer.skipped().items():
            print(f"{metric} left out: {min(len(split), len(real))} test images, {needed} needed")
        if self.segmentation is not None:
            for name, found in self.segmentation.score(photos, split, drawn.inputs).items():
                metrics[name] |= found
        if self.inception is not None:
            made = {name: images for name, images in photos.items() if name != REAL}
            for name, found in self.inception.score(made, root / PREPARED, info, root / CACHE, drawn).items():
                metrics[name] |= found
        return {name: Score(metrics[name], classes[name]) for name in photos}
