import pytest
from own_repository import commit, done

from understudy.adapters.branch import branch
from understudy.adapters.judging_code import changed_judges

GRAPH = "stages: {gate: {cmd: python -m stages.gate, deps: [%s]}, prune: {cmd: python -m stages.prune, deps: [%s]}}"


@pytest.fixture
def root(tmp_path):
    """main has a gate that imports one of two modules; `work` is checked out, and still the same."""
    done(tmp_path, "git", "init", "-q", "--initial-branch=main")
    for name, text in {
        "stages/gate.py": "import understudy.gate",
        "understudy/gate.py": "",
        "understudy/prune.py": "",
        "understudy/cli.py": "",
        "understudy/commands/watch.py": "",
        "understudy/commands/review.py": "def run():\n    import understudy.review",
        "understudy/review.py": "",
        "Makefile": "setup-gate:",
        "dvc.yaml": GRAPH % ("a", "b"),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    commit(tmp_path, "first")
    done(tmp_path, "git", "checkout", "-q", "-b", "work")
    return tmp_path


def changed(root, **contents):
    for name, text in contents.items():
        (root / name).write_text(text)
    commit(root, "changed")
    return changed_judges(root, branch(root, "main"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("understudy/gate.py", True),
        ("understudy/review.py", True),  # imported within a function
        ("understudy/cli.py", True),
        ("understudy/commands/watch.py", True),  # cli.py loads it before any verb runs
        ("Makefile", True),
        ("pyproject.toml", True),
        ("requirements.lock", True),
        ("infra/gate.sh", True),
        ("understudy/prune.py", False),
        ("README.md", False),
    ],
)
def test_what_says_the_verdict_is_told_and_nothing_else(name, told, root):
    (root / name).parent.mkdir(exist_ok=True)
    assert changed(root, **{name: "# other"}) == ([name] if told else [])


def test_of_the_graph_only_the_gates_stage_is_told(root):
    assert changed(root, **{"dvc.yaml": GRAPH % ("a", "c")}) == []
    assert changed(root, **{"dvc.yaml": GRAPH % ("d", "c")}) == ["dvc.yaml (stage gate)"]
    assert changed(root, **{"dvc.yaml": "no graph"}) == ["dvc.yaml (stage gate)"]
