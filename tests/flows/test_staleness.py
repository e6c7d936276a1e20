"""When DVC is asked what is stale of a run's branch, and that what it is not asked again is true."""

import pytest
from own_repository import done
from tiny_project import Project

from understudy.adapters import freshness

pytestmark = pytest.mark.slow


def test_dvc_is_asked_once_where_everything_is_stale_and_anew_once_something_was_made(repo, tmp_path, monkeypatch):
    project, asked = Project(repo, tmp_path), []
    stale = freshness.stale

    def count(root):
        asked.append(root)
        return stale(root)

    monkeypatch.setattr(freshness, "stale", count)
    staleness = freshness.Staleness(project.root)
    for stage in ("prepare", "teacher", "gate"):
        assert staleness.reasons(stage)
        done(project.root, "dvc", "repro", "-q", "--single-item", stage)
        project.share()  # each at a commit of its own
    assert len(asked) == 1

    # Now all is fresh, and no commit comes between.
    staleness = freshness.Staleness(project.root)
    assert [staleness.reasons(stage) for stage in ("prepare", "teacher", "gate")] == [[], [], []] and len(asked) == 2

    # What the first one makes is other data: what reads it was fresh before, and is stale at that commit.
    staleness, text = freshness.Staleness(project.root), (project.root / "own.py").read_text()
    (project.root / "dvc.yaml").write_text((project.root / "dvc.yaml").read_text().replace("own.py, art", "art"))
    (project.root / "own.py").write_text(text.replace('"data")', '"other")'))
    project.share()
    assert staleness.reasons("prepare") == ["own.py: modified"]
    done(project.root, "dvc", "repro", "-q", "--single-item", "prepare")
    project.share()
    assert len(asked) == 3 and any("artifacts/prepare/data.txt" in said for said in staleness.reasons("teacher"))
    assert len(asked) == 4


def test_data_that_was_imported_anew_and_is_not_here_makes_its_reader_stale(repo, tmp_path):
    project, feed = Project(repo, tmp_path), tmp_path / "feed.txt"
    feed.write_text("first")
    (project.root / "data").mkdir()
    done(project.root, "dvc", "import-url", str(feed), "data/feed.txt")
    graph = project.root / "dvc.yaml"
    graph.write_text(graph.read_text().replace("${prepare.source}", "data/feed.txt"))
    done(project.root, "dvc", "repro", "-q", "prepare")
    assert "prepare" not in freshness.stale(project.root)

    feed.write_text("second")
    done(project.root, "dvc", "update", "data/feed.txt.dvc")
    (project.root / "data/feed.txt").unlink()  # as in a clone
    assert freshness.stale(project.root)["prepare"] == ["data/feed.txt: not the one that data/feed.txt.dvc names"]
