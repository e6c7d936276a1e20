"""The tiny project on the whole stack but for the registry: for tests that disturb its runs."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def disturbed(repo, kubernetes, prefect_server, tmp_path_factory) -> Iterator:
    """See disturbed_runs.Disturbed; one for a file's tests."""
    from disturbed_runs import disturbed_runs

    with disturbed_runs(repo, kubernetes, prefect_server, tmp_path_factory.mktemp("disturbed")) as made:
        yield made
