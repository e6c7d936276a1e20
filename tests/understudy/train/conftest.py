"""What trainings of several processes and of several hosts begin with."""

from pathlib import Path

import pytest
from tiny_stage import write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with everything that a tiny stage reads but its parameters."""
    root = tmp_path_factory.mktemp("inputs")
    write_inputs(root, "instance_affine")
    return root
