"""GitHub: the review of a pull request as one comment, which every run updates.

Run as `python -m understudy.adapters.github FILE`, it reads what GitHub Actions sets (GITHUB_TOKEN, GITHUB_REPOSITORY,
GITHUB_API_URL, GITHUB_EVENT_PATH). A fork's pull request gets a token that may only read: then nothing is
written, which is said and no failure.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from understudy.errors import OK, UserError, in_one_line
from understudy.files import read_json
from understudy.report.review import MARKER

PAGE = 100  # comments a call, the most that GitHub gives
SECONDS = 30  # for one call
REFUSED = (403, 404)  # what a token that may not write is answered; 404 where it may not even know


def comment(text: str, environment: Mapping[str, str]) -> str:
    """Write `text`, which begins with MARKER, as the pull request's comment. Returns what was done, in a sentence.

    The oldest comment with the marker is that one. Raises UserError when the token may not change it (somebody else
    wrote it): there is no second one. So it does when a variable is missing.
    """
    number, repository = _pull_request(environment), _variable(environment, "GITHUB_REPOSITORY")
    token, api = _variable(environment, "GITHUB_TOKEN"), environment.get("GITHUB_API_URL", "https://api.github.com")
    comments = f"{api}/repos/{repository}/issues"
    for found in _marked(f"{comments}/{number}/comments", token):
        if not _write("PATCH", f"{comments}/comments/{found}", text, token):
            raise UserError(
                f"comment {found} of pull request {number} begins as the review does, and this token may not change it "
                "(it may be somebody else's); there is one such comment only: delete it, and run this again"
            )
        return f"updated comment {found} of pull request {number}"
    if _write("POST", f"{comments}/{number}/comments", text, token):
        return f"commented on pull request {number}"
    return f"no comment on pull request {number}: this token may not write, as that of a fork's pull request"


def _variable(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise UserError(f"{name} is not set; GitHub Actions sets it, the token by `env: GITHUB_TOKEN`")
    return environment[name]


def _pull_request(environment: Mapping[str, str]) -> int:
    path = Path(_variable(environment, "GITHUB_EVENT_PATH"))
    try:
        return int(read_json(path)["pull_request"]["number"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: no event of a pull request") from None


def _marked(address: str, token: str) -> Iterator[int]:
    """The ids of the comments that begin with the marker, oldest first; one that quotes it does not."""
    page = 1
    while True:
        comments = _call("GET", f"{address}?per_page={PAGE}&page={page}", token)
        yield from (entry["id"] for entry in comments if (entry.get("body") or "").startswith(MARKER))
        if len(comments) < PAGE:
            return
        page += 1


def _write(method: str, address: str, text: str, token: str) -> bool:
    """Whether the token was allowed to."""
    try:
        _call(method, address, token, {"body": text})
    except urllib.error.HTTPError as error:
        if error.code in REFUSED:
            return False
        raise
    return True


def _call(method: str, address: str, token: str, body: Any = None) -> Any:
    """The answer as JSON. Raises HTTPError."""
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def main(argv: list[str]) -> int:
    try:
        print(comment(Path(argv[0]).read_text(encoding="utf-8"), os.environ))
    except UserError as error:
        print(f"comment: {error}", file=sys.stderr)
        return error.code
    except (OSError, ValueError) as error:  # HTTPError and URLError are OSErrors; an answer that is no JSON
        print(f"comment: GitHub: {in_one_line(error)}", file=sys.stderr)
        return UserError("").code
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
