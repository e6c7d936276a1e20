"""What is compared: each arm is the recipe with a few values changed.

The recipe itself is the arm `all`, this project's default: the teacher's outputs, global centred kernel alignment and
the centred relation matrix, with inherited weights and the teacher's discriminator. Arms of losses keep both, and so
does `none`, so that one thing differs at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from understudy.errors import UserError

TERMS = {  # of a teacher, by their weight's key; one that is not kept has weight 0
    "outputs": "distill.output_weight",
    "features": "distill.feature_weight",
    "alignment": "distill.alignment.weight",
    "relation": "distill.relation.weight",
}
FEATURES = 1.0  # the weight of a term that the recipes do not use
STEPS = 700  # of every student, as the recipes have it


@dataclass(frozen=True)
class Arm:
    """about: what it is, and whose. changes: values of the recipe by dotted key."""

    name: str
    about: str
    changes: Mapping[str, Any]

    def params(self, recipe: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
        """The recipe's sections with the arm's values, and with the student's seed where one is given.

        Raises UserError for a key that the recipe does not have.
        """
        changes = self.changes if seed is None else {**self.changes, "base.seed": seed}
        values = _copied(recipe)
        for dotted, value in changes.items():
            *sections, key = dotted.split(".")
            place = values
            for section in sections:
                place = place.get(section, {})
            if key not in place:
                raise UserError(f"arm {self.name}: the recipe has no {dotted}")
            place[key] = value
        return values


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _keep(*terms: str) -> dict[str, float]:
    """These terms with the recipe's weights, and no other."""
    return {key: 0.0 for term, key in TERMS.items() if term not in terms}


def _alignment(form: str) -> dict[str, Any]:
    return {**_keep("alignment"), "distill.alignment.form": form}


def _relation(norm: str, centred: bool) -> dict[str, Any]:
    return {**_keep("relation"), "distill.relation.norm": norm, "distill.relation.centred": centred}


ARMS = {
    arm.name: arm
    for arm in (
        Arm("none", "no term of a teacher; inherited weights and discriminator as in all arms of losses", _keep()),
        Arm("outputs", "L1 to the teacher's image (SRPKD, vanilla distillation)", _keep("outputs")),
        Arm("features", "squared distance of features through learned 1x1 adapters (FitNets; CAT's `mse`)",
            {**_keep("features"), TERMS["features"]: FEATURES}),
        Arm("alignment-batch", "kernel alignment, batch form (CAT as released: KA)", _alignment("release")),
        Arm("alignment-batch-centred", "kernel alignment, batch form, centred", _alignment("batch_centred")),
        Arm("alignment-global", "kernel alignment, global form (CAT on arXiv: GKA)", _alignment("global")),
        Arm("alignment-global-centred", "kernel alignment, global form, centred (CAT at CVPR: GCKA)",
            _alignment("global_centred")),
        Arm("relation-l1", "relation matrix, L1 (SRPKD)", _relation("l1", False)),
        Arm("relation-l1-centred", "relation matrix, L1, centred", _relation("l1", True)),
        Arm("relation-l2", "relation matrix, L2 (SRPKD)", _relation("l2", False)),
        Arm("relation-l2-centred", "relation matrix, L2, centred", _relation("l2", True)),
        Arm("alignment-relation", "GCKA and the centred relation matrix, L2", _keep("alignment", "relation")),
        Arm("all", "the recipe: outputs, GCKA and the centred relation matrix, L2", {}),
        Arm("inherit-norm", "`all`, of the teacher's weights the norms' alone", {"prune.inherit": "norm"}),
        Arm("inherit-none", "`all`, no weight of the teacher (CAT as released)", {"prune.inherit": "none"}),
        Arm("fresh-discriminator", "`all`, a discriminator that starts anew", {"distill.discriminator": "fresh"}),
        Arm("alone", "`none`, no weight of the teacher and a fresh discriminator: the stage `baseline`",
            {**_keep(), "prune.inherit": "none", "distill.discriminator": "fresh"}),
        Arm("uniform", "`all`, every width scaled by one factor in place of CAT's threshold",
            {"prune.method": "uniform"}),
        Arm("raw-weights", "`none` without averaged weights", {**_keep(), "student.schedule.ema_decay": 0.0}),
        Arm("constant-rate", "`none` at a learning rate that does not fall",
            {**_keep(), "student.schedule.constant_steps": STEPS, "student.schedule.decay_steps": 0}),
    )
}  # fmt: skip
