"""What a teacher adds to its student's loss: kernel alignment, semantic relation, its outputs, its features.

Jin et al., CAT (kernel alignment); Li et al., SRPKD (relation matrix, and the distance to the teacher's output, which
takes the place of the ground truth in their equation for paired data). A term of weight 0 is never computed, and where
no term is on the teacher does not run.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.losses.feature_distance import FeatureDistance
from understudy.losses.kernel_alignment import alignment_loss
from understudy.losses.precision import widen
from understudy.losses.semantic_relation import relation_loss
from understudy.params.distill import Distill
from understudy.train.exchange import gathered
from understudy.train.forward import Forward
from understudy.train.update import Batch


class Distillation:
    """The teacher's terms, called once a step with the student's output and features.

    teacher: a generator; frozen and put in eval mode here. taps: features compared by alignment and by feature
    distance. middle: the tap of the relation matrix. adapters: from `adapters()`, over the same taps.
    """

    def __init__(
        self,
        teacher: nn.Module,
        params: Distill,
        taps: tuple[str, ...],
        middle: str,
        adapters: nn.Module,
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.params = params
        self.compared = taps if params.alignment.weight or params.feature_weight else ()
        self.middle = middle
        related = (middle,) if params.relation.weight else ()
        self.taps = tuple(dict.fromkeys(self.compared + related))
        self.adapters = adapters

    def to(self, device: torch.device) -> None:
        """Move the teacher. The adapters are trained with the generator, and move with it."""
        self.teacher.to(device)

    def __call__(
        self, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], forward: Forward
    ) -> dict[str, Tensor]:
        """Weighted losses by name. fake: [B, 3, H, W]; features: the student's, by tap, each [B, C, H', W']."""
        params = self.params
        if not (self.taps or params.output_weight):
            return {}
        target, teacher = self._watch(batch, forward)
        losses = {}
        if params.alignment.weight:
            # Over all processes' images, as if one had them all: alignment is no mean over a batch.
            theirs, ours = (_whole(_pick(maps, self.compared)) for maps in (teacher, features))
            losses["alignment"] = params.alignment.weight * alignment_loss(theirs, ours, params.alignment.form)
        if params.relation.weight:
            relation = relation_loss(
                teacher[self.middle], features[self.middle], params.relation.norm, params.relation.centred
            )
            losses["relation"] = params.relation.weight * relation
        if params.output_weight:
            losses["output"] = params.output_weight * F.l1_loss(fake, target)
        if params.feature_weight:
            distance = self.adapters(_pick(teacher, self.compared), _pick(features, self.compared))
            losses["feature"] = params.feature_weight * distance
        return losses

    @torch.no_grad()
    def _watch(self, batch: Batch, forward: Forward) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The teacher's image [B, 3, H, W] and its features, without a gradient."""
        output = forward(self.teacher, batch.inputs, taps=self.taps)
        image, features = output if self.taps else (output, {})
        return widen(image), features


def adapters(params: Distill, teacher_widths: Mapping[str, int], student_widths: Mapping[str, int]) -> nn.Module:
    """The learned layers that the terms need, from channels by tap; an empty module when they need none."""
    return FeatureDistance(teacher_widths, student_widths) if params.feature_weight else nn.ModuleDict()


def _pick(features: Mapping[str, Tensor], taps: tuple[str, ...]) -> dict[str, Tensor]:
    return {tap: features[tap] for tap in taps}


def _whole(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the whole batch, from this process's share of it."""
    return {tap: gathered(values) for tap, values in features.items()}
