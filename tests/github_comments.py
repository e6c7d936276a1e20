"""A small server that answers GitHub's calls on a pull request's comments, for tests.

It imitates the listing in pages, the creation and the change of a comment, and what tokens may do, as GitHub's
documentation has them. It cannot prove that GitHub still does so, nor anything of its limits and delays.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY, NUMBER = "someone/project", 7
WRITER, READER = "may-write", "may-read"  # tokens; the second is what a fork's pull request gets


class Comments:
    """comments: as GitHub has them, oldest first. others: ids that no token here may change."""

    def __init__(self, address: str) -> None:
        self.address, self.comments, self.others = address, list[dict[str, Any]](), set[int]()

    def environment(self, event: str, token: str = WRITER) -> dict[str, str]:
        """What GitHub Actions would set. event: the file of the event."""
        return {"GITHUB_API_URL": self.address, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token,
                "GITHUB_EVENT_PATH": event}  # fmt: skip

    def add(self, body: str, by_another: bool = False) -> int:
        number = 1000 + len(self.comments)
        self.comments.append({"id": number, "body": body})
        if by_another:
            self.others.add(number)
        return number

    def answer(self, method: str, address: str, token: str, body: str | None) -> tuple[int, Any]:
        url = urlsplit(address)
        if token not in (WRITER, READER):
            return 401, {"message": "Bad credentials"}
        if url.path == f"/repos/{REPOSITORY}/issues/{NUMBER}/comments" and method == "GET":
            asked = {key: int(values[0]) for key, values in parse_qs(url.query).items()}
            size, page = min(asked.get("per_page", 30), 100), asked.get("page", 1)
            return 200, self.comments[(page - 1) * size : page * size]
        if token != WRITER:
            return 403, {"message": "Resource not accessible by integration"}
        assert body is not None
        if url.path == f"/repos/{REPOSITORY}/issues/{NUMBER}/comments" and method == "POST":
            self.add(body)
            return 201, self.comments[-1]
        if method == "PATCH" and (match := re.fullmatch(rf"/repos/{REPOSITORY}/issues/comments/(\d+)", url.path)):
            if int(match[1]) in self.others:
                return 403, {"message": "Must have admin rights to Repository."}
            (found,) = [entry for entry in self.comments if entry["id"] == int(match[1])]
            found["body"] = body
            return 200, found
        return 404, {"message": "Not Found"}


@contextmanager
def serving() -> Iterator[Comments]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers["Authorization"].removeprefix("Bearer ")
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length))["body"] if length else None
            status, value = comments.answer(self.command, self.path, token, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    comments = Comments(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield comments
    finally:
        server.shutdown()
        server.server_close()
