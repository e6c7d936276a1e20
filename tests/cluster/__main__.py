"""Run the server: `python -m cluster FOLDER`, with FOLDER/settings.json; FOLDER/certificate.pem is made there."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from cluster import certificate, deletion, jobs, nodes, quota
from cluster.access import Access
from cluster.api import Api
from cluster.pods import Image, Kubelet, kill_marked
from cluster.store import Store

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
TICK = 0.2  # seconds between two looks at what depends on time


async def control(store: Store, kubelet: Kubelet) -> None:
    """The controllers, one after the other, whenever something has changed."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(store.changed.wait(), TICK)
        store.changed.clear()
        jobs.reconcile(store)
        nodes.schedule(store)
        kubelet.sync()
        deletion.collect(store)
        quota.report(store)


async def main(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    store = Store()
    images = {name: Image(**image) for name, image in settings["images"].items()}
    kubelet = Kubelet(store, folder, images)
    api = Api(store, Access(store, settings["token"]), kubelet, settings["version"])
    certificate.write(folder / "certificate.pem", folder / "key.pem")
    application = Starlette(routes=[Route("/{path:path}", api.answer, methods=METHODS)])
    configuration = uvicorn.Config(
        application, host="127.0.0.1", port=settings["port"], log_level="info", timeout_graceful_shutdown=1,
        ssl_certfile=folder / "certificate.pem", ssl_keyfile=folder / "key.pem", lifespan="off",
    )  # fmt: skip
    server = uvicorn.Server(configuration)
    tasks = {asyncio.create_task(server.serve()), asyncio.create_task(control(store, kubelet))}
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn has its own, and sends it on when it has stopped
    try:
        asyncio.run(main(Path(sys.argv[1])))
    finally:
        kill_marked(Path(sys.argv[1]))
