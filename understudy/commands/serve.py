"""Serve the champion over HTTP: images in, images out, and a page to try it on.

MODEL is models:/NAME@ALIAS, models:/NAME/VERSION, or teacher, student or baseline of ROOT's artifacts;
by default the champion of the model that ROOT/params.yaml names; who is champion the registry's ledger
says, not an alias that was moved by hand. Behind an alias the server takes up each new version beside
the old one, without losing a request, and goes on with the old one when the registry is down, was
meddled with, or the new one does not work. The exported ONNX file runs on the CPU by ONNX Runtime;
a version without one runs by torch. SIGTERM ends it once the requests in progress are answered.
Addresses: /translate /tensors /health /ready /version /metrics and the page at /.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from types import FrameType

from understudy.errors import OK, UserError
from understudy.serve.limits import Limits

DRAIN_SECONDS = 30  # for the requests in progress once SIGTERM has come


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="default: models:/NAME@champion, by ROOT/params.yaml")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds params.yaml (default: this one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s, this machine)")
    parser.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--runtime", choices=("onnx", "int8", "torch"),
                        help="what computes (default: onnx; torch where there is no such file)")  # fmt: skip
    parser.add_argument("--threads", type=_positive, metavar="N",
                        help="that one translation may use (default: the cores of this process)")  # fmt: skip
    parser.add_argument("--every", type=_positive, default=30, metavar="SECONDS",
                        help="between two looks at what the alias means (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-bytes", type=_positive, metavar="N", default=Limits.bytes,
                        help="of a request's body (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-pixels", type=_positive, metavar="N", default=Limits.pixels,
                        help="of a request's images together (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-requests", type=_positive, metavar="N", default=Limits.requests,
                        help="worked on at once; one more gets a 503 (default: %(default)s)")  # fmt: skip


def _port(text: str) -> int:
    if not 0 <= (value := int(text)) < 2**16:
        raise ValueError
    return value


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def run(arguments: argparse.Namespace) -> int:
    from understudy.params.loader import load
    from understudy.params.registry import Registry

    # Of torch, where it computes. Read when it is imported.
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    address = arguments.model or load(arguments.root / "params.yaml", (Registry,))[Registry].champion
    listener = _bound(arguments.host, arguments.port)
    try:
        import uvicorn
        from PIL import Image

        from understudy.serve.app import make_app
    except ImportError as error:
        raise UserError(f"serving needs FastAPI and uvicorn ({error}); `pip install understudy[ops]`") from error
    from understudy.serve.champion import Champion
    from understudy.serve.network import cores
    from understudy.serve.sources import source

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("understudy.serve").setLevel(logging.INFO)
    # Of an outage it would show a traceback at every look, which is told in one line here.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # Sizes are looked at before anything is decoded; Pillow's own remark on each large one would only fill the log.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    limits = Limits(bytes=arguments.max_bytes, pixels=arguments.max_pixels, requests=arguments.max_requests)
    threads = arguments.threads or cores()
    champion = Champion(source(arguments.root, address), arguments.root, arguments.runtime, threads)
    champion.start()
    every = arguments.every if champion.source.moves else None
    app = make_app(champion, limits, every)
    served = champion.served
    host, port = listener.getsockname()[:2]
    print(f"{served.name} ({address}) by {served.network.by}"
          + (f": {served.network.note}" if served.network.note else ""))  # fmt: skip
    print(f"teacher on the page: {served.comparison.absent or 'yes, by ' + _by(served.comparison.teacher)}")
    print(f"asks every {every} s for a new version" if every else "stays with this version")
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)

    # uvicorn drains on either signal, and then raises it again: of SIGTERM this is the end.
    signal.signal(signal.SIGTERM, _ended)
    config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, server_header=False,
                            timeout_graceful_shutdown=DRAIN_SECONDS)  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
    return OK


def _by(network: object) -> str:
    return str(getattr(network, "by", ""))


def _ended(number: int, frame: FrameType | None) -> None:
    sys.exit(OK)


def _bound(host: str, port: int) -> socket.socket:
    """Taken before anything is loaded, and deaf until it is: until then nobody waits at it."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Only where a socket says that it is TCP does asyncio send at once: otherwise every answer takes 40 ms longer.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error}; --port 0 takes a free one") from error
    return listener
