"""A run's folder to serve from, made once for a module; and a Chromium."""

from pathlib import Path

import pytest
from chromium import browser as browser
from finished_run import finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with teacher, student, test split and verdict, and without exported files."""
    return finished_run(tmp_path_factory.mktemp("run"))
