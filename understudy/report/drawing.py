"""Inline SVG, element by element. Colours come from the page's style sheet by class, and follow dark and light."""

from collections.abc import Iterable

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


def _written(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
