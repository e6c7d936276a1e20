"""What the server tells of itself and of one input, as plain values: the contents of /version and /compare."""

from dataclasses import asdict
from importlib.metadata import version as release
from typing import Any

from understudy.adapters.registry import METRIC_TAG
from understudy.report.pictures import data_uri
from understudy.serve.champion import Served
from understudy.serve.comparison import shown, timed, titles
from understudy.serve.network import Network
from understudy.serve.server import Server
from understudy.serve.uploads import Inputs


def compared(served: Served, inputs: Inputs, photo: Inputs | None) -> dict[str, Any]:
    """The content of /compare: an input through teacher and student. photo: what it really looks like, where known."""
    network, beside = served.network, served.comparison
    labels = network.info.kind == "labels"
    real = data_uri(photo) if photo is not None else None
    return {
        "version": served.name,
        "size": f"{inputs.shape[1]} x {inputs.shape[0]}",
        "titles": titles(network),
        "input": data_uri(shown(inputs, network), exact=labels),
        "real": real,
        "teacher": _pass(beside.teacher, inputs) if beside.teacher else {"absent": beside.absent},
        "student": _pass(network, inputs),
    }


def _pass(network: Network, inputs: Inputs) -> dict[str, Any]:
    photo, milliseconds, passes = timed(network, inputs)
    return {"photo": data_uri(photo), "ms": milliseconds, "passes": passes, "by": network.by}


def described(server: Server) -> dict[str, Any]:
    """The content of /version."""
    champion, served = server.champion, server.champion.served
    network, info, tags = served.network, served.network.info, served.found.tags
    return {
        "understudy": release("understudy"),
        "address": champion.source.address,
        "model": served.found.model,
        "version": served.found.version,
        "serving_since": served.since.isoformat(),
        "runtime": {"name": network.runtime, "by": network.by, "threads": network.threads, "note": network.note},
        "data": {"name": info.name, "kind": info.kind, "trained_at": list(info.size), "classes": list(info.classes),
                 "instances": info.edges},
        "sha256": served.digests,
        "metrics": served.metrics,
        "tags": {k: v for k, v in tags.items() if not k.startswith(METRIC_TAG)},
        "teacher": served.comparison.absent or "shown on the page",
        "registry": {
            "every_seconds": server.poll_seconds,
            "last_looked": champion.looked.at.isoformat(),
            "problem": champion.looked.problem or None,
            "failed_attempts": champion.failed,
            "takeovers": champion.takeovers,
        },
        "limits": asdict(server.limits),
    }  # fmt: skip
