import numpy as np
import pytest
import torch
from PIL import Image
from toy_run import small_arch

from understudy.arch import families as architecture
from understudy.files import write_json
from understudy.tensors import save_weights


@pytest.fixture
def run(tmp_path):
    """The files of a finished run that `translate` needs, with an untrained student."""
    torch.manual_seed(0)
    root = tmp_path / "run"
    architecture.save(small_arch(), root / "artifacts/distill/arch.json")
    save_weights(architecture.build(small_arch()), root / "artifacts/distill/weights.safetensors")
    dataset = {"schema": 2, "name": "toy", "kind": "labels",
        "size": [16, 16], "classes": ["a", "b", "c"], "ignore": None,
               "licence": "CC0", "palette": [[0, 0, 0], [255, 0, 0], [0, 255, 0]], "counts": {}}  # fmt: skip
    write_json(root / "artifacts/prepare/dataset.json", dataset)
    (tmp_path / "maps").mkdir()
    labels = np.indices((18, 23)).sum(0).astype(np.uint8) % 3
    Image.fromarray(labels).save(tmp_path / "maps/index.png")
    Image.fromarray(np.array(dataset["palette"], np.uint8)[labels]).save(tmp_path / "maps/colour.png")
    return root
