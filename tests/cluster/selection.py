"""Label and field selectors: `app=a,tier!=b,env in (x, y),gpu,!spot` and `metadata.name=a,status.phase!=Running`."""

import re
from typing import Any

from cluster.refusals import bad_request

_TERM = re.compile(r"(?P<key>[\w./-]+)\s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\)|(?P<has>!?[\w./-]+)\s*$|"
                   r"(?P<left>[\w./-]+)\s*(?P<sign>==|=|!=)\s*(?P<right>[\w.-]*)\s*$")  # fmt: skip


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether a label selector picks an object with these labels. Refusal: it cannot be read."""
    return all(_holds(term.strip(), labels) for term in re.split(r",(?![^(]*\))", selector) if term.strip())


def _holds(term: str, labels: dict[str, str]) -> bool:
    found = _TERM.fullmatch(term)
    if found is None:
        raise bad_request(f"unable to parse requirement: {term}")
    if found["set"]:
        values = {value.strip() for value in found["values"].split(",")}
        return (labels.get(found["key"]) in values) == (found["set"] == "in")
    if found["has"]:
        return (found["has"].lstrip("!") in labels) == (found["has"][0] != "!")
    return (labels.get(found["left"]) == found["right"]) == (found["sign"] != "!=")


def picks(selector: str, thing: dict[str, Any]) -> bool:
    """Whether a field selector picks this object."""
    for term in filter(None, selector.split(",")):
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", term.strip())
        if found is None:
            raise bad_request(f"invalid field selector: {term}")
        value: Any = thing
        for part in found[1].split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        if (str(value) == found[3]) == (found[2] == "!="):
            return False
    return True
