"""On a GPU: processes that share a batch train like one, synchronised batch norms included; parts of it save memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import shared_step
import torch

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.train.forward import Forward

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("norm", ["batch", "instance_affine"])
def test_two_processes_train_like_one(norm, tmp_path, repo):
    path, place = tmp_path / "tensors.pt", {**os.environ, "PYTHONPATH": str(repo)}  # where nothing is installed
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, str(Path(shared_step.__file__)), str(path), norm, "cuda"],
                          env=place, capture_output=True, text=True, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr
    shared, alone = torch.load(path, weights_only=True), shared_step.trained(norm, "cuda")
    assert shared.keys() == alone.keys()  # synchronised norms keep the names of weights
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-7, atol=1e-7, msg=lambda text, at=name: f"{at}: {text}")


def test_a_few_images_at_a_time_take_less_memory():
    net = architecture.build(inception(32, 9, 6, "instance", "zero", "rgb", 3, (64, 64))).cuda()
    images = torch.rand(16, 3, 64, 64, device="cuda")
    peaks = []
    for forward in (Forward(), Forward(images=2)):
        torch.cuda.reset_peak_memory_stats()
        forward(net, images).square().mean().backward()
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 0.4 * peaks[0]
