"""What the API refuses, in Kubernetes' words: a Status object and an HTTP code."""

from typing import Any


class Refusal(Exception):
    """code: of HTTP. reason: one of Kubernetes' (NotFound, Conflict, ...), which clients act on."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    @property
    def status(self) -> dict[str, Any]:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": str(self), "reason": self.reason, "code": self.code}  # fmt: skip


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def forbidden(message: str) -> Refusal:
    return Refusal(403, "Forbidden", message)


def not_found(resource: str, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{resource} "{name}" not found')


def conflict(message: str) -> Refusal:
    return Refusal(409, "Conflict", message)


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


def invalid(thing: dict[str, Any], *causes: str) -> Refusal:
    """causes: 'field: what is wrong'."""
    name = thing["metadata"].get("name") or thing["metadata"].get("generateName", "")
    why = causes[0] if len(causes) == 1 else "[" + ", ".join(causes) + "]"
    return Refusal(422, "Invalid", f'{thing["kind"]} "{name}" is invalid: {why}')
