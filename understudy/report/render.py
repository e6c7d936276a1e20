"""The page's content as HTML: one file that asks the network for nothing.

Its style and its script stand in it as they are in page.css and page.js; the content security policy names both by
their hashes and allows nothing else, so that no text out of a run can ever be run as code.
"""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

GOOD, BAD = ("better", "passed", "met", "the same"), ("worse", "failed", "broken", "changed since", "not here")


def render(values: Mapping[str, Any]) -> str:
    """The page as HTML. values: from `content`."""
    folder = files("understudy.report")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; "
              "base-uri 'none'; form-action 'none'")  # fmt: skip
    return (
        page_of("understudy.report").render(values, style=Markup(style), script=Markup(script), policy=policy).lstrip()
    )


def page_of(package: str) -> jinja2.Template:
    """The template of a package's page."""
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader(package, "."),
    )
    environment.filters |= {"tone": tone, "prose": prose}
    return environment.get_template("page.html.jinja")


def tone(cell: str) -> str:
    """The class of a cell that says whether something is good: colour only repeats what the word says."""
    return "good" if cell.endswith(GOOD) else "bad" if cell.endswith(BAD) else ""


def prose(sentence: str) -> Markup:
    """A sentence as HTML, what stands in backticks as code. Everything in it is escaped."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:  # one backtick has no partner: none is taken for a mark
        return escape(sentence)
    marked = (Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts))
    return Markup("").join(marked)


def source(text: str) -> str:
    """A source of a content security policy: the SHA-256 of what stands between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
