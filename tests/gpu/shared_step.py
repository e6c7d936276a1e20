"""Training steps in float64 that the processes which torchrun started share: `shared_step.py FILE NORM DEVICE`.

All of them use the first GPU, over gloo: NCCL wants one each.
"""

import os
import sys
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from understudy.arch import families as architecture
from understudy.arch.base import Norm
from understudy.arch.inception import inception
from understudy.models.initialise import init_normal
from understudy.processes import leads, size
from understudy.train.division import synchronised
from understudy.train.exchange import share
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.one_way import OneWay
from understudy.train.state import State, update_average
from understudy.train.update import Batch, NoTerms, Weights

STEPS = 3


def trained(norm: Norm, device: str) -> dict[str, Tensor]:
    """Everything that a few steps changed, on the CPU."""
    arch = inception(12, 3, 6, norm, "zero", "rgb", 3, (32, 32))
    players = []
    for seed, net in enumerate((architecture.build(arch), PIX2PIX.critic(arch, 8))):
        init_normal(net, torch.Generator().manual_seed(seed))
        players.append(synchronised(net.to(device, torch.float64, memory_format=torch.channels_last)))  # type: ignore[call-overload]
    state = State.start(*players, nn.ModuleDict(), 1e-3)
    random = torch.Generator().manual_seed(2)
    for _ in range(STEPS):
        images = [torch.rand(4, 3, 32, 32, generator=random, dtype=torch.float64) * 2 - 1 for _ in range(2)]
        parts = [share(one).to(device).contiguous(memory_format=torch.channels_last) for one in images]
        OneWay(PIX2PIX, Weights(1.0, 100.0), NoTerms())(state, Batch(*parts), Forward())
        update_average(state, 0.9)
    return {name: value.detach().cpu().contiguous() for name, value in state.tensors().items()}


def main() -> None:
    path, norm, device = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if size() > 1:
        distributed.init_process_group("gloo")
    tensors = trained(norm, device)  # type: ignore[arg-type]
    if leads():
        torch.save(tensors, path)
    if size() > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    main()
