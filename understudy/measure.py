"""What a generator costs when it runs: the memory of its activations, and its latency on the machine at hand."""

import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@torch.no_grad()
def peak_activation_bytes(net: nn.Module, input_shape: tuple[int, ...]) -> int:
    """The most bytes of tensors alive at once during one forward pass in fp32, weights not counted, the input counted.

    input_shape: [N, C, H, W]. Run on the meta device, so the number depends on the network alone, not on an allocator,
    and a 256 px generator takes milliseconds. The network itself is left untouched.
    """
    weights = {name: torch.empty_like(value, device="meta") for name, value in net.state_dict().items()}
    inputs = torch.empty(input_shape, device="meta")
    with _LiveBytes([*weights.values()]) as live:
        live.add(inputs)
        torch.func.functional_call(net, weights, (inputs,))
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of every storage that an operation returns, until it is freed."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.counted: dict[int, int] = {}
        self.alive = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return result

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # one per underlying allocation: views share it
        if key in self.counted or key in self.known:
            return
        self.counted[key] = storage.nbytes()
        self.alive += storage.nbytes()
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self.alive -= self.counted.pop(key, 0)


@torch.no_grad()
def latency_ms(net: Callable[[Any], Any], inputs: Any, runs: int) -> dict[str, float]:
    """Milliseconds of one forward pass, over `runs` timed passes after as many warm-ups.

    net: a network, or whatever is called like one. inputs: what it takes, on its device. Returns median_ms, mean_ms,
    p10_ms, p90_ms and runs. The result belongs to this machine and moment: it never goes into a file that DVC hashes.
    """
    synchronise = torch.cuda.synchronize if isinstance(inputs, Tensor) and inputs.is_cuda else lambda: None
    for _ in range(runs):
        net(inputs)
    synchronise()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        net(inputs)
        synchronise()
        times.append((time.perf_counter() - start) * 1e3)
    deciles = statistics.quantiles(times, n=10, method="inclusive") if runs > 1 else times * 9
    return {
        "median_ms": statistics.median(times),
        "mean_ms": statistics.mean(times),
        "p10_ms": deciles[0],
        "p90_ms": deciles[8],
        "runs": runs,
    }
