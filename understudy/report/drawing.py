"""Inline SVG, element by element. Colours come from the page's style sheet by class, and follow dark and light."""

from collections.abc import Iterable
from importlib.resources import files

from markupsafe import Markup


def element(tag: str, text: object = None, **attributes: object) -> Markup:
    """One SVG element, its text escaped. `class_` and `text_anchor` stand for class and text-anchor."""
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _written(value))
        for name, value in attributes.items()
    )
    if text is None:
        return Markup("<{}{}/>").format(tag, written)
    return Markup("<{}{}>{}</{}>").format(tag, written, text, tag)


def svg(width: float, height: float, label: str | None, drawn: Iterable[Markup]) -> Markup:
    """label: what is read aloud; None for a drawing that repeats numbers which stand beside it."""
    spoken = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element("svg", Markup("").join(drawn), viewBox=f"0 0 {width} {height}", width=width, height=height, **spoken)


def svg_file(width: float, height: float, label: str, drawn: Iterable[Markup]) -> Markup:
    """A drawing that is a file of its own: it has the report's style in it, and asks the network for nothing."""
    style = (files("understudy.report") / "page.css").read_text(encoding="utf-8")
    ground = [
        element("style", Markup(style.replace("&", "&amp;").replace("<", "&lt;"))),
        element("rect", width="100%", height="100%", fill="var(--paper)"),
    ]
    made = svg(width, height, label, [*ground, *drawn])
    return Markup(str(made).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def _written(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
