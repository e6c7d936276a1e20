"""The server's page: the report's style, one script, and a policy that names both by their hashes."""

from importlib.resources import files

import jinja2
from markupsafe import Markup

from understudy.report.pictures import data_uri
from understudy.report.render import prose, source
from understudy.serve.champion import Served
from understudy.serve.comparison import shown, titles
from understudy.serve.limits import Limits


def page(served: Served, limits: Limits, base: str) -> tuple[str, str]:
    """The page as HTML, and its content security policy. base: the server's own address, as the browser knows it."""
    style = _text("understudy.report", "page.css") + _text("understudy.serve", "page.css")
    script = _text("understudy.serve", "page.js")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("understudy.serve", "."),
    )
    environment.filters["prose"] = prose
    network = served.network
    labels = network.info.kind == "labels"
    samples = {
        name: data_uri(shown(sample.inputs, network), exact=labels)
        for name, sample in served.comparison.samples.items()
    }
    text = environment.get_template("page.html.jinja").render(
        served=served, network=network, info=network.info, samples=samples, titles=titles(network), limits=limits,
        base=base, style=Markup(style), script=Markup(script),
    )  # fmt: skip
    policy = (f"default-src 'none'; img-src data:; connect-src 'self'; style-src {source(style)}; "
              f"script-src {source(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")  # fmt: skip
    return text.lstrip(), policy


def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")
