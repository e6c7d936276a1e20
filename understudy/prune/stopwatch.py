"""One timing of a candidate, in turn with its teacher: what `latency.select` searches by."""

import math
import statistics
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.measure import latency_ms
from understudy.models.generator import Generator
from understudy.prune.latency import Round
from understudy.prune.scores import Scores
from understudy.prune.selection import strongest_of
from understudy.prune.surgery import cut

LEAST_ROUNDS, MOST_ROUNDS = 5, 20
SURE = 0.01  # standard error of a reading, as a share of it, at which no more rounds are needed
BLOCK_MS = 50.0  # of a network's passes in a round, at least one; both networks' blocks are as long
SPREAD = 1.25 * 1.48  # of a normal sample: the standard error of its median, from the deviations' median, times √n


class Stopwatch:
    """Times networks with the surviving weights of a teacher, as evaluate times finished ones: the network alone, one
    image of the training size, fp32.

    Each round is a block of passes of the network and one of the teacher, after as many passes that warm up. A block is
    summed up by its mean: of two blocks of one length other work takes the same share, of single passes it does not.

    weights: the teacher's state dict. scores: by group of channels, from `read_scores`. place: where they run.
    """

    def __init__(self, teacher: Arch, weights: Mapping[str, Tensor], scores: Scores, place: torch.device) -> None:
        self.teacher, self.weights, self.scores, self.place = teacher, weights, scores, place
        # Neither convolutions nor norms look at what they are given.
        noise = torch.Generator().manual_seed(0)
        self.inputs = (torch.rand(1, teacher.input_channels, *teacher.size, generator=noise) * 2 - 1).to(place)
        self.whole = self._network(teacher)
        self.passes = self._passes(self.whole)

    def __call__(self, arch: Arch) -> list[Round]:
        """Rounds until their median is sure: milliseconds of a pass of the network, and of the teacher."""
        net = self._network(arch)
        passes = self._passes(net)
        rounds: list[Round] = []
        while len(rounds) < MOST_ROUNDS and not _sure(rounds):
            rounds.append((self._mean(net, passes), self._mean(self.whole, self.passes)))
        return rounds

    def _passes(self, net: Generator) -> int:
        return max(1, round(BLOCK_MS / latency_ms(net, self.inputs, 3)["mean_ms"]))

    def _mean(self, net: Generator, passes: int) -> float:
        return latency_ms(net, self.inputs, passes)["mean_ms"]

    def _network(self, arch: Arch) -> Generator:
        net = architecture.build(arch)
        net.load_state_dict(cut(self.weights, self.teacher, arch, strongest_of(self.scores, arch), "all"))
        return net.to(self.place).eval()


def _sure(rounds: Sequence[Round]) -> bool:
    """Whether the median share of the teacher's time is known well enough."""
    if len(rounds) < LEAST_ROUNDS:
        return False
    shares = [own / teacher for own, teacher in rounds]
    middle = statistics.median(shares)
    deviation = statistics.median(abs(share - middle) for share in shares)
    return SPREAD * deviation / math.sqrt(len(shares)) <= SURE * middle
