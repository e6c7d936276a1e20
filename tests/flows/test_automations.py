"""The automations that docs/flows.md shows, made by Prefect's own command on a real server, and seen to act."""

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from mlflow_server import wait_until
from prefect_server import PrefectServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Chat:
    """Takes what a webhook brings. told: the JSON bodies."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.served.server_address[1]}"
        threading.Thread(target=self.served.serve_forever, daemon=True).start()


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.served.shutdown()
    chat.served.server_close()


@pytest.fixture
def automations(repo, prefect_server, tmp_path, chat) -> Iterator[None]:
    """Those of the docs, with a block of this chat, and a heartbeat that is missed sooner."""
    text = (repo / "docs/flows.md").read_text()
    shown = [found for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "trigger:" in found]
    told, heartbeat = (yaml.safe_load(found) for found in shown)
    with prefect_server.client() as client:
        told["actions"][0]["block_document_id"] = str(webhook(client, chat.address))
        heartbeat["trigger"]["within"] = 10
        path = tmp_path / "automation.yaml"
        path.write_text(yaml.safe_dump([told, heartbeat]))
        prefect_server.prefect("automation", "create", "--from-file", str(path))
        made = {found.name: found for found in client.read_automations()}
        assert {told["name"], heartbeat["name"]} <= set(made)
        yield
        for name in (told["name"], heartbeat["name"]):
            client.delete_automation(made[name].id)


def webhook(client: Any, address: str) -> UUID:
    """A block that posts to an address; its id."""
    from prefect.client.schemas.actions import BlockDocumentCreate

    kind = client.read_block_type_by_slug("custom-webhook")
    schema = client.get_most_recent_block_schema_for_block_type(kind.id)
    data = {"name": "team", "url": address, "json_data": {"subject": "{{subject}}", "body": "{{body}}"}}
    wanted = BlockDocumentCreate(name="team", data=data, block_type_id=kind.id, block_schema_id=schema.id)
    return client.create_block_document(wanted).id


def running(client: Any, name: str, called: str) -> UUID:
    """A run of a flow of that name, as the server knows one that a process works on."""
    from prefect import flow
    from prefect.states import Running

    return client.create_flow_run(flow(lambda: None, name=name), name=called, state=Running()).id


def heartbeat(server: PrefectServer, run: UUID) -> None:
    """What a run's process sends every 30 seconds."""
    event = {"occurred": datetime.now(UTC).isoformat(), "event": "prefect.flow-run.heartbeat", "id": str(uuid4()),
             "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"}, "related": [], "payload": {}}  # fmt: skip
    request = urllib.request.Request(f"{server.api}/events", json.dumps([event]).encode(),
                                     {"Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204


def test_a_failed_gate_is_told_and_a_run_without_a_heartbeat_is_crashed(automations, prefect_server, chat):
    from understudy.adapters.prefect import failure
    from understudy.errors import GATE_FAILED, UserError

    with prefect_server.client() as client:
        other = running(client, "another", "of another flow")
        client.set_flow_run_state(other, failure(UserError("nobody wants to know", GATE_FAILED)))
        judged = running(client, "compress", "runs/street-scenes-1234567")
        client.set_flow_run_state(judged, failure(UserError("miou: 0.4 failed", GATE_FAILED)))
        lost = running(client, "compress", "runs/lost")
        heartbeat(prefect_server, lost)
        wait_until(lambda: prefect_server.state(lost).is_final(), "the end of a run without a heartbeat")
        assert prefect_server.state(lost).is_crashed()
    wait_until(lambda: len(chat.told) == 2, "two messages")
    messages = {told["subject"]: told["body"] for told in chat.told}
    assert messages == {
        "runs/street-scenes-1234567: GateFailed": "miou: 0.4 failed",
        "runs/lost: Crashed": "no heartbeat for three minutes",
    }
