"""Ten thousand requests and a thousand spoilt uploads to the real server: no 5xx, and memory that stays where it is.

Prints the memory as it goes: `pytest -m long -s tests/understudy/serve/test_serving_long.py`, some minutes.
"""

from collections import Counter

import numpy as np
import pytest
from fuzzed_uploads import fuzzed, npy, png
from served_champion import ADDRESS, CLASSES, label_map, promote_student

from benchmarks.load import Request, drive
from benchmarks.server import Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
REQUESTS, SPOILT = 10_000, 1_000
ROUNDS = 10
# MB in the second half. torch's oneDNN keeps 1,024 prepared layers, one for every shape: these sizes fill that slowly.
GROWTH = {"onnx": 5.0, "torch": 25.0}


def requests(count: int, seed: int) -> list[Request]:
    """Images of many sizes, tensors, JPEG answers and comparisons."""
    draw = np.random.default_rng(seed)
    made = []
    for index in range(count):
        size = (int(draw.integers(1, 80)), int(draw.integers(1, 80)))
        if index % 10 == 0:
            made.append(Request("/tensors", npy(np.stack([label_map(index, size)] * 3))))
        elif index % 50 == 1:
            made.append(Request("/compare?sample=stripes", b""))
        else:
            accept = {"Accept": "image/jpeg"} if index % 3 == 0 else {}
            made.append(Request("/translate", png(label_map(index, size)), accept))
    return made


@pytest.mark.parametrize("runtime", GROWTH)
def test_ten_thousand_requests_and_a_thousand_spoilt_ones(tmp_path, monkeypatch, runtime):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    promote_student(tmp_path, seed=0, exported=runtime == "onnx")
    server = Server(tmp_path / "serve.log", ADDRESS, "--root", str(tmp_path), "--every", "1", "--threads", "1")
    memory, statuses, broken = [server.megabytes()], Counter(), []
    try:
        for number in range(ROUNDS):
            load = drive(server.port, requests(REQUESTS // ROUNDS, seed=number), 8)
            assert set(load.statuses) == {200}, (load.statuses, load.reasons)
            spoilt = drive(server.port, fuzzed(SPOILT // ROUNDS, CLASSES, seed=number), 4)
            statuses += load.statuses + spoilt.statuses
            broken += spoilt.reasons
            memory.append(server.megabytes())
            done = (number + 1) * (REQUESTS + SPOILT) // ROUNDS
            print(f"{done:6} requests: {memory[-1]:.1f} MB, {load.rate:.0f} a second, p50 {load.at(0.5):.1f} ms, "
                  f"p99 {load.at(0.99):.1f} ms", flush=True)  # fmt: skip
        print(dict(sorted(statuses.items())))
        assert not broken and sum(statuses.values()) == REQUESTS + SPOILT
        assert not [status for status in statuses if status >= 500]
        assert memory[-1] - memory[ROUNDS // 2] < GROWTH[runtime], memory
        assert server.terminate() == 0
    finally:
        server.kill()
