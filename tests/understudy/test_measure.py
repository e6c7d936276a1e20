import time

import pytest
import torch
from torch import nn

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.measure import latency_ms, peak_activation_bytes


def test_a_chain_keeps_two_tensors_alive_at_a_time():
    chain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 2, 3, padding=1))
    pixels = 10 * 12 * 4  # bytes of one channel of one image
    # The caller holds the input throughout; the widest moment has the second convolution's input and output too.
    assert peak_activation_bytes(chain, (1, 3, 10, 12)) == (3 + 8 + 16) * pixels
    assert peak_activation_bytes(chain, (5, 3, 10, 12)) == 5 * (3 + 8 + 16) * pixels


def test_views_and_work_in_place_cost_nothing():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Unflatten(1, (3, 4, 4)))
    assert peak_activation_bytes(net, (1, 3, 4, 4)) == 3 * 4 * 4 * 4


def test_a_kept_branch_stays_counted():
    class Residual(nn.Module):
        def forward(self, x):
            return x + torch.tanh(torch.tanh(x))

    # Input, the inner tanh and the outer one, which is made before the inner one is freed.
    assert peak_activation_bytes(Residual(), (1, 1, 8, 8)) == 3 * 8 * 8 * 4


def test_the_network_is_left_as_it_was_and_weights_are_not_counted():
    net = architecture.build(inception(8, 3, 4, "batch", "zero", "onehot", 5, (32, 32)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    peak = peak_activation_bytes(net, (1, 5, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert next(net.parameters()).device.type == "cpu"
    # At full resolution a norm reads and writes the first width: it is there that an image costs most.
    assert 2 * 8 * 32 * 32 * 4 <= peak <= 4 * 8 * 32 * 32 * 4 + 5 * 32 * 32 * 4
    assert peak == peak_activation_bytes(net, (1, 5, 32, 32))


class Sleep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        time.sleep(0.002 if self.calls <= 5 else 0.004)  # the warm-up is faster here, to tell the two apart
        return x


def test_latency_is_of_the_timed_passes_alone():
    net = Sleep()
    measured = latency_ms(net, torch.zeros(1), runs=5)
    assert net.calls == 10 and measured["runs"] == 5
    assert 4 <= measured["p10_ms"] <= measured["median_ms"] <= measured["p90_ms"]
    assert measured["mean_ms"] >= 4


@pytest.mark.parametrize("runs", [1, 2])
def test_few_runs_are_enough_for_a_number(runs):
    measured = latency_ms(Sleep(), torch.zeros(1), runs)
    assert measured["p10_ms"] <= measured["median_ms"] <= measured["p90_ms"]
