"""Between a test and a real S3 server: sees every request; refuses, holds or changes those that the test says."""

import http.client
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from s3_servers import Server

Headers = dict[str, str]
Change = Callable[[str, Headers, bytes], tuple[Headers, bytes]]
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Proxy(Server):
    """seen: `METHOD /BUCKET/KEY?QUERY` of every request that was passed on and answered.

    refuse: given such a line, whether to answer 503. hold: whether not to answer at all until `release` is set.
    change: given such a line, headers and body of the answer, those that are sent instead.
    """

    def __init__(self, server: Server) -> None:
        self.seen: list[str] = []
        self.refuse: Callable[[str], bool] = lambda line: False
        self.hold: Callable[[str], bool] = lambda line: False
        self.change: Change = lambda line, headers, body: (headers, body)
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                line = f"{self.command} {self.path}"
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.hold(line):
                    outer.release.wait()
                    self.close_connection = True
                    return
                if outer.refuse(line):
                    self.answer(503, {}, SLOW_DOWN)
                    return
                upstream = http.client.HTTPConnection("127.0.0.1", server.port)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() != "expect":
                        upstream.putheader(name, value)
                upstream.endheaders(content)
                got = upstream.getresponse()
                body = got.read()
                outer.seen.append(line)
                self.answer(got.status, *outer.change(line, dict(got.getheaders()), body))
                upstream.close()

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # of a client that was killed
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

        self._served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._served.daemon_threads = True
        super().__init__(self._served.server_address[1])
        threading.Thread(target=self._served.serve_forever, daemon=True).start()

    def parts(self) -> list[int]:
        """Numbers of the parts of uploads that arrived, in their order."""
        found = [re.search(r"[?&]partNumber=(\d+)", line) for line in self.seen if line.startswith("PUT ")]
        return [int(match[1]) for match in found if match]

    def stop(self) -> None:
        self.release.set()
        self._served.shutdown()
        self._served.server_close()
