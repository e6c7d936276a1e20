"""How a batch is divided, over processes and within each over passes, and which networks let it be divided."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from understudy import processes
from understudy.errors import UserError

if TYPE_CHECKING:
    from understudy.train.setting import Setting

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def require_divisible(setting: "Setting", place: torch.device) -> None:
    """Raise UserError, naming the key, when a step on a divided batch would not be the step on the whole one."""
    schedule, size = setting.schedule, processes.size()
    if schedule.batch_size % size:
        raise UserError(
            f"schedule.batch_size: {schedule.batch_size} images cannot be shared equally by {size} processes; "
            f"set it to a multiple of {size}"
        )
    if not has_batch_norms(setting):
        return
    if size > 1 and place.type == "cpu":
        raise UserError(
            f"teacher.norm: batch: {size} processes would need synchronised batch norms, which torch does not have for "
            "the CPU; set it to instance or instance_affine, schedule.processes to null, or train on GPUs"
        )
    if schedule.micro_batch is not None and schedule.micro_batch < (images := schedule.batch_size // size):
        raise UserError(
            f"schedule.micro_batch: {schedule.micro_batch}: batch norms must see all {images} images at once; set it "
            "to null, or teacher.norm to instance or instance_affine"
        )


def has_batch_norms(setting: "Setting") -> bool:
    """Whether a network that is trained looks across a batch."""
    networks = (setting.generator, setting.discriminator)
    return any(isinstance(part, BATCH_NORMS) for net in networks for part in net.modules())


def synchronised(net: nn.Module) -> nn.Module:
    """The network with batch norms over the images of all processes, where there are several; names of weights stay."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(net) if processes.size() > 1 else net
