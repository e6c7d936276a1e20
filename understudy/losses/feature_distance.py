"""Distance between features of different widths through learned adapters: the plain alternative to kernel alignment.

CAT's released code calls it `mse` with adapters `netA`; FitNets (Romero et al., 2015, equation 3) is its origin.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.errors import UserError
from understudy.losses.precision import widen


class FeatureDistance(nn.Module):
    """A 1x1 convolution from the student's width to the teacher's at each tap; it learns together with the student.

    teacher_widths, student_widths: channels by tap. Raises UserError when the taps differ.
    """

    def __init__(self, teacher_widths: Mapping[str, int], student_widths: Mapping[str, int]) -> None:
        super().__init__()
        if teacher_widths.keys() != student_widths.keys():
            raise UserError(
                f"feature distance: the teacher has {sorted(teacher_widths)}, the student {sorted(student_widths)}"
            )
        self.taps = tuple(teacher_widths)
        # A list and not a ModuleDict, whose keys cannot be `block.1`.
        self.adapters = nn.ModuleList([nn.Conv2d(student_widths[tap], teacher_widths[tap], 1) for tap in self.taps])

    def forward(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        """Mean squared difference per tap, summed over the taps; no gradient reaches the teacher.

        teacher, student: features [N, C, H, W] by tap. In float32, also under autocast. Raises UserError when maps of
        one tap differ in size.
        """
        distances = []
        for tap, adapter in zip(self.taps, self.adapters, strict=True):
            target, features = widen(teacher[tap].detach()), widen(student[tap])
            if target.shape[2:] != features.shape[2:]:
                sizes = f"{list(target.shape[2:])} and {list(features.shape[2:])}"
                raise UserError(f"feature distance at {tap}: teacher and student differ in size, {sizes}")
            with torch.autocast(features.device.type, enabled=False):
                distances.append(F.mse_loss(adapter(features), target))  # [N, C_s, H, W] -> [N, C_t, H, W] -> scalar
        return torch.stack(distances).sum()
