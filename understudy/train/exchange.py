"""What the processes that train one network, on one host or several, tell each other.

Each has the same weights, computes the losses of its share of a batch, and moves by the mean of all gradients: of a
mean over the batch that is exactly the gradient over the whole batch, as long as the shares are of one size. What is
no such mean is computed by all over the `gathered` batch. In a process that works alone nothing here does anything.

Not torch's DistributedDataParallel: it expects a network to be run once before each backward pass and every weight to
take part, while a CycleGAN's generators run three times and a discriminator also judges without learning; and it would
rename the weights.
"""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from understudy import processes
from understudy.errors import LOST, UserError
from understudy.memory import ran_out

PATIENCE = datetime.timedelta(hours=6)  # that processes wait for one that validates; one that died is told otherwise


def join(place: torch.device) -> None:
    """Meet the other processes; each takes a GPU of its own where `place` is one. Raises UserError for too few GPUs."""
    if processes.size() == 1 or distributed.is_initialized():
        return
    backend = "gloo"
    if place.type == "cuda":
        if (found := torch.cuda.device_count()) < (needed := processes.local_size()):
            raise UserError(
                f"{needed} processes need a GPU each, and torch sees {found}: lower schedule.processes, "
                "or set runtime.device to cpu"
            )
        torch.cuda.set_device(processes.local_rank())
        backend = "cpu:gloo,cuda:nccl"
    with _together():
        distributed.init_process_group(backend, timeout=PATIENCE)


_on_its_own = False


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """While it lasts this process works as if it were alone: the others wait in a step that it no longer takes."""
    global _on_its_own
    _on_its_own = True
    try:
        yield
    finally:
        _on_its_own = False


def _alone() -> bool:
    return _on_its_own or processes.size() == 1


def leave() -> None:
    """Part, all at once, when nothing is left to be told."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def share(batch: Tensor) -> Tensor:
    """This process's part of what all have whole: [B, ...] -> [B / processes, ...]."""
    return batch if _alone() else batch.chunk(processes.size())[processes.rank()]


def gathered(part: Tensor) -> Tensor:
    """What all have of a batch, in its order: [B / processes, ...] -> [B, ...]. The gradient finds its way back."""
    return part if _alone() else _Gathered.apply(part)


class _Gathered(torch.autograd.Function):
    """Every process has a loss of its own over the whole, and so the gradients of a part add up."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(processes.size())]
        with _together():
            distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)  # another branch may hold it
        with _together():
            distributed.all_reduce(total)
        return share(total)


def average_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Give all processes the mean of their gradients, in one message. All must have computed the same ones."""
    if _alone():
        return
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in held if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    with _together():
        distributed.all_reduce(flat)
    flat /= processes.size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, parts, strict=True):
        gradient.copy_(mean.view(gradient.shape))


def averaged(values: Mapping[str, float]) -> dict[str, float]:
    """The mean of each value over the processes, which have the same names."""
    if processes.size() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64)
    with _together():
        distributed.all_reduce(total)
    return dict(zip(values, (total / processes.size()).tolist(), strict=True))


def one_says(flag: bool) -> bool:
    """Whether any process says so; all get the same answer."""
    return averaged({"flag": float(flag)})["flag"] > 0


def from_first(tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    """What the first process has, in all of them, on the CPU. tensors: read of that one alone; None or at least one."""
    if processes.size() == 1:
        return None if tensors is None else dict(tensors)
    content = safetensors.torch.save(dict(tensors)) if tensors and processes.leads() else b""
    length = torch.tensor([len(content)])
    with _together():
        distributed.broadcast(length, 0)
        if not length:
            return None
        sent = (
            torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if content
            else torch.empty(int(length), dtype=torch.uint8)
        )
        distributed.broadcast(sent, 0)
    return safetensors.torch.load(sent.numpy().tobytes())


def require_same(fingerprint: str) -> None:
    """Raise UserError, in at least one process and so in the end in all, when they are about to train different things.

    fingerprint: hexadecimal.
    """
    number = float(int(fingerprint[:12], 16))  # 48 bits: sums of these are exact
    if averaged({"fingerprint": number})["fingerprint"] != number:
        raise UserError("code, parameters or inputs were changed while the processes were starting; run it again")


@contextlib.contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if ran_out(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"another process of this training ended ({reason}); run it again to go on from the last checkpoint", LOST
        ) from error
