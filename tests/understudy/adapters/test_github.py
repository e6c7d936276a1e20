"""One comment, whoever else writes there. tests/github_comments.py tells what its server cannot prove."""

import json

import pytest
from github_comments import NUMBER, READER, serving

from understudy.adapters.github import comment, main
from understudy.errors import UserError
from understudy.report.review import MARKER

FIRST, SECOND = f"{MARKER}\n## PASSED", f"{MARKER}\n## FAILED"


@pytest.fixture
def event(tmp_path):
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"pull_request": {"number": NUMBER}}))
    return str(path)


def test_a_second_run_updates_the_comment_of_the_first_on_whichever_page_it_is(event):
    with serving() as github:
        for index in range(120):
            github.add(f"remark {index}\n> {MARKER}")
        github.add(f"I quote:\n{MARKER}")
        assert "commented" in comment(FIRST, github.environment(event))
        for index in range(90):
            github.add(f"remark {index}")
        assert "updated" in comment(SECOND, github.environment(event))
        assert [entry["body"] for entry in github.comments if entry["body"].startswith(MARKER)] == [SECOND]
        assert len(github.comments) == 120 + 1 + 1 + 90


def test_a_comment_that_may_not_be_changed_is_named_and_no_second_one_is_written(event):
    with serving() as github:
        number = github.add(FIRST, by_another=True)
        with pytest.raises(UserError, match=f"^comment {number} of pull request {NUMBER} .* delete it"):
            comment(SECOND, github.environment(event))
        assert [entry["body"] for entry in github.comments] == [FIRST]


def test_the_token_of_a_fork_writes_nothing_and_fails_nothing(event, tmp_path, monkeypatch, capsys):
    (tmp_path / "review.md").write_text(FIRST)
    with serving() as github:
        for name, value in github.environment(event, READER).items():
            monkeypatch.setenv(name, value)
        assert main([str(tmp_path / "review.md")]) == 0
        assert github.comments == [] and "may not write" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GITHUB_TOKEN": "nobody's"}, "401"),
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_API_URL": "http://127.0.0.1:1"}, "refused"),
        ({"GITHUB_EVENT_PATH": "push"}, "no event of a pull request"),
    ],
)
def test_what_is_wrong_is_one_line(change, said, event, tmp_path, monkeypatch, capsys):
    (tmp_path / "review.md").write_text(FIRST)
    (tmp_path / "push").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with serving() as github:
        for name, value in {**github.environment(event), **change}.items():
            monkeypatch.setenv(name, value)
        assert main(["review.md"]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1 and github.comments == []


def test_without_a_pull_request_there_is_nothing_to_comment_on(event):
    with pytest.raises(UserError, match="GITHUB_EVENT_PATH is not set"):
        comment(FIRST, {})
