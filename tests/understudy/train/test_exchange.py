"""How the processes of a training meet, where each has a GPU: torch's own functions are replaced, no GPU is needed.

What they tell each other is shown where they really train, on the CPU: test_divided.py, test_several_hosts.py.
"""

import pytest
import torch
from torch import distributed

from understudy.errors import LOST, UserError
from understudy.train import exchange

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def called(monkeypatch):
    """This process is the second of two on a host, and the fourth of four, with two GPUs; what torch is asked to do."""
    for name, value in {"LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1, "WORLD_SIZE": 4, "RANK": 3}.items():
        monkeypatch.setenv(name, str(value))
    calls = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: calls.append(("set_device", index)))
    monkeypatch.setattr(
        distributed, "init_process_group", lambda backend, timeout: calls.append(("meet", backend, timeout))
    )
    return calls


def test_each_process_takes_the_gpu_of_its_number_on_this_host_before_they_meet(called):
    exchange.join(CUDA)
    assert called == [("set_device", 1), ("meet", "cpu:gloo,cuda:nccl", exchange.PATIENCE)]


def test_on_the_cpu_no_gpu_is_asked_for(called, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    exchange.join(CPU)
    assert called == [("meet", "gloo", exchange.PATIENCE)]


@pytest.mark.parametrize("found", [0, 1])
def test_fewer_gpus_than_processes_of_this_host_are_refused_with_what_to_set(found, called, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    with pytest.raises(UserError) as refused:
        exchange.join(CUDA)
    assert str(refused.value) == (
        f"2 processes need a GPU each, and torch sees {found}: lower schedule.processes, or set runtime.device to cpu"
    )
    assert called == []


def test_one_process_meets_nobody(called, monkeypatch):
    for name in ("LOCAL_WORLD_SIZE", "LOCAL_RANK", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    exchange.join(CUDA)
    assert called == []


def test_another_that_is_gone_before_they_meet_is_one_sentence(called, monkeypatch):
    def refuse(backend, timeout):
        raise RuntimeError("connect() timed out.\n  frame #0: c10d")

    monkeypatch.setattr(distributed, "init_process_group", refuse)
    with pytest.raises(UserError, match=r"another process of this training ended \(connect\(\) timed out\.\)") as lost:
        exchange.join(CUDA)
    assert lost.value.code == LOST and "\n" not in str(lost.value)
