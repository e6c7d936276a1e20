"""The server's page: the report's style, one script, and a policy that names both by their hashes."""

from importlib.resources import files

from markupsafe import Markup

from understudy.report.pictures import data_uri
from understudy.report.render import page_of, source
from understudy.report.tables import label
from understudy.serve.champion import Served
from understudy.serve.comparison import shown, titles
from understudy.serve.limits import Limits


def page(served: Served, limits: Limits, base: str) -> tuple[str, str]:
    """The page as HTML, and its content security policy. base: the server's own address, as the browser knows it."""
    style = _text("understudy.report", "page.css") + _text("understudy.serve", "page.css")
    script = _text("understudy.serve", "page.js")
    network = served.network
    labels = network.info.kind == "labels"
    samples = {
        name: data_uri(shown(sample.inputs, network), exact=labels)
        for name, sample in served.comparison.samples.items()
    }
    text = page_of("understudy.serve").render(
        served=served, network=network, info=network.info, samples=samples, titles=titles(network), limits=limits,
        base=base, facts=_facts(served), style=Markup(style), script=Markup(script),
    )  # fmt: skip
    policy = (f"default-src 'none'; img-src data:; connect-src 'self'; style-src {source(style)}; "
              f"script-src {source(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")  # fmt: skip
    return text.lstrip(), policy


def _facts(served: Served) -> dict[str, str]:
    """What says which student this is; /version has the rest."""
    tags = served.found.tags
    facts = {
        "weights, SHA-256": f"`{served.digests['weights']}`",
        "computed by": served.network.by,
        "served since": served.since.isoformat(),
        "promoted": tags.get("promoted_at", ""),
        "in place of version": tags.get("replaced", ""),
        "git commit": f"`{tags['git_commit']}`" if "git_commit" in tags else "",
        **{label(name): f"{value:.4g}" for name, value in served.metrics.items()},
    }
    return {name: value for name, value in facts.items() if value}


def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")
