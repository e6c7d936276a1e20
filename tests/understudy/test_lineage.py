import pytest
from own_repository import commit, done

from understudy.files import sha256
from understudy.lineage import dependencies, lineage


def repository(folder, monkeypatch, **contents):
    """A git repository of one commit."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    folder.mkdir()
    done(folder, "git", "init", "-q")
    for name, text in contents.items():
        (folder / name).write_text(text)
    commit(folder, "first")
    return done(folder, "git", "rev-parse", "HEAD").strip()


@pytest.fixture
def code(tmp_path, monkeypatch):
    """The commit of a repository that the code is said to be in, TMP_PATH/code."""
    made = repository(tmp_path / "code", monkeypatch, **{"lineage.py": "one"})
    monkeypatch.setattr("understudy.lineage.CODE", tmp_path / "code")
    return made


def test_of_a_root_in_no_repository_the_commit_is_the_codes(code, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    assert lineage(root) == {"git_commit": code, "git_dirty": "false"}
    (tmp_path / "code/lineage.py").write_text("two")
    assert lineage(root) == {"git_commit": code, "git_dirty": "true"}
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    assert lineage(root)["dvc_lock_sha256"] == sha256(root / "dvc.lock")


def test_of_a_root_in_its_own_repository_both_commits_are_told(code, tmp_path, monkeypatch):
    root = tmp_path / "project"
    project = repository(root, monkeypatch, **{"params.yaml": "mine"})
    assert lineage(root) == {"git_commit": project, "git_dirty": "false", "code_commit": code, "code_dirty": "false"}
    (root / "params.yaml").write_text("mine, changed")
    assert lineage(root)["git_dirty"] == "true" and lineage(root)["code_dirty"] == "false"
    # An environment inside a repository, with this package installed in it, is not of that repository.
    installed = root / "venv/understudy"
    installed.mkdir(parents=True)
    (installed / "lineage.py").write_text("one")
    monkeypatch.setattr("understudy.lineage.CODE", installed)
    assert lineage(root) == {"git_commit": project, "git_dirty": "true"}


def test_of_a_root_beside_the_code_there_is_one_commit(code, tmp_path):
    assert lineage(tmp_path / "code") == {"git_commit": code, "git_dirty": "false"}
    scratch = tmp_path / "code/scratch"  # of which git knows nothing
    scratch.mkdir()
    (scratch / "params.yaml").touch()
    assert lineage(scratch) == {"git_commit": code, "git_dirty": "false"}


def test_a_folder_without_history_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr("understudy.lineage.CODE", tmp_path)
    assert lineage(tmp_path) == {}
    assert dependencies(tmp_path, "teacher") == {}


def test_what_a_stage_reads_is_found_among_the_outputs_of_others(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {teacher: {deps: [a.zip, code.py]}, judge: {deps: [b.zip]}, odd: {}}\n")
    (tmp_path / "dvc.lock").write_text(
        "stages: {prepare: {outs: [{path: a.zip, md5: '1'}, {path: b.zip, md5: '2'}]}}\n"
    )
    assert dependencies(tmp_path, "teacher") == {"a.zip": "1"}
    assert dependencies(tmp_path, "odd") == {}
    assert dependencies(tmp_path, "unknown") == {}
