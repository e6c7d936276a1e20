"""DVC: what a stage needs comes from the remote and what it made goes there, although the remote is away now and then.

DVC and botocore repeat a request a few times within seconds (AWS_MAX_ATTEMPTS, AWS_RETRY_MODE); here the whole command
is repeated, for as long as a server takes to start again. What is refused stays refused: it is not asked again.
"""

import configparser
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from understudy import child
from understudy.adapters import s3_client
from understudy.adapters.at_hand import AtHand
from understudy.adapters.dvc import LINES, environment, is_code, repro
from understudy.adapters.patience import patiently
from understudy.errors import UNEXPECTED, UserError, in_one_line
from understudy.params.loader import read

CONFIG, OWN_CONFIG = ".dvc/config", ".dvc/config.local"
# What S3 and botocore say of keys that are wrong, in whatever DVC makes of it: s3fs has often left the code out.
REFUSED = (*s3_client.REFUSED, "AccessDenied", "Access Denied", "AllAccessDisabled", "(403)", "Forbidden",
           "PermissionError", "Unable to locate credentials", "NoSuchBucket", "The specified bucket does not exist",
           "request signature we calculated", "Access Key Id you provided", "token has expired")  # fmt: skip
Said = Callable[[str], None]
STARTED = "Running stage '"  # DVC's own words


def address(root: Path) -> str | None:
    """Where the default remote of the project at `root` is, or None. Raises UserError when its name leads nowhere."""
    config = configparser.ConfigParser()
    try:
        config.read([root / CONFIG, root / OWN_CONFIG], encoding="utf-8")
    except configparser.Error as error:
        raise UserError(f"{root / CONFIG}: {in_one_line(error)}") from None
    name = config.get("core", "remote", fallback=None)
    if name is None:
        return None
    where = config.get(f"'remote \"{name}\"'", "url", fallback=None)
    if where is None:
        raise UserError(f"{root / CONFIG}: core.remote is {name}, and there is no such remote; "
                        f"`dvc remote add -d {name} ADDRESS`")  # fmt: skip
    return where


def named(root: Path) -> str:
    """As `address`. Raises UserError when there is none."""
    if (where := address(root)) is None:
        raise UserError(f"{root / CONFIG}: there is no DVC remote, so no stage could have what another one made; "
                        "`dvc remote add -d NAME ADDRESS`, and commit it")  # fmt: skip
    return where


def check(root: Path) -> None:
    """Ask the remote, where it is on S3, whether these credentials may list it.

    Raises UserError of one line when there is no remote or it refuses; one that is only away is waited for.
    """
    where = named(root)
    if not where.startswith("s3://"):
        return

    def ask() -> None:
        bucket, prefix = s3_client.split(where)
        with s3_client.explained(f"DVC's remote {where}", "s3:ListBucket, s3:GetObject and s3:PutObject"):
            s3_client.connect(where).list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", MaxKeys=1)

    _patiently(ask, print)


def pull(root: Path, stage: str, said: Said) -> None:
    """Bring what `stage` reads of other stages' outputs, and sources that DVC keeps, to the workspace at `root`."""
    here = AtHand(root)
    if wanted := here.lacking(_needed(root, stage)):
        here.forget(wanted)
        _patiently(lambda: _dvc(root, said, "pull", *wanted), said)
        here.keep(wanted)


def pull_files(root: Path, names: Iterable[str], said: Said) -> None:
    """Bring those outputs that the graph has and the workspace at `root` lacks."""
    made = {path for entry in read(root / "dvc.yaml")["stages"].values() for path in _stored(entry)}
    if wanted := [name for name in names if name in made and not (root / name).exists()]:
        _patiently(lambda: _dvc(root, said, "pull", *wanted), said)


def reproduce(root: Path, stage: str, said: Said, unwanted: Callable[[], bool]) -> None:
    """Run this one stage, or have what it would make from the run cache; otherwise as understudy.adapters.dvc.repro."""
    here, made = AtHand(root), _stored(read(root / "dvc.yaml")["stages"][stage])
    here.forget(made)
    _patiently(lambda: _reproduce(root, stage, said, unwanted), said)
    here.keep(made)


def push(root: Path, stage: str, said: Said) -> None:
    """Send what `stage` made, and the run cache, so that nobody need run it again."""
    _patiently(lambda: _dvc(root, said, "push", "--run-cache", stage), said)


def update(root: Path, pointer: str, said: Said) -> None:
    """Have an imported file or folder (`pointer`: its .dvc) be what is at its address now."""
    _patiently(lambda: _dvc(root, said, "update", pointer), said)


def push_files(root: Path, names: Iterable[str], said: Said) -> None:
    """Send these files of DVC's care, and no more."""
    _patiently(lambda: _dvc(root, said, "push", *names), said)


class _Away(UserError):
    """Something did not answer, and may do so later."""


def _patiently(act: Callable[[], None], said: Said) -> None:
    patiently(act, lambda error: isinstance(error, _Away) or _is_away(str(error.__cause__)), said)


def _dvc(root: Path, said: Said, *arguments: str) -> None:
    lines: deque[str] = deque(maxlen=LINES)
    if code := child.run([sys.executable, "-m", "dvc", *arguments], root, environment(), lines.append):
        raise _failed(f"`dvc {arguments[0]}`", code, list(lines))
    if lines:
        said(f"dvc {arguments[0]}: {lines[-1]}")


def _reproduce(root: Path, stage: str, said: Said, unwanted: Callable[[], bool]) -> None:
    lines: list[str] = []

    def hear(line: str) -> None:
        if not any(STARTED in earlier for earlier in lines):
            lines.append(line)
        said(line)

    try:
        repro(root, "--single-item", "--pull", stage, said=hear, unwanted=unwanted)
    except UserError as error:
        # DVC's own failure before the stage began: on its way to the run cache.
        if error.code == UNEXPECTED and not any(STARTED in line for line in lines):
            raise _failed("`dvc repro`", 1, lines) from None
        raise


def _failed(what: str, code: int, lines: list[str]) -> UserError:
    if code < 0:
        return UserError(f"{what} was ended by signal {-code}", UNEXPECTED)
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
    said = in_one_line("; ".join(errors))
    if word := next((word for word in REFUSED if any(word in line for line in lines)), None):
        return UserError(f"{what}: DVC's remote refuses ({word.strip('()')}); DVC takes the keys from "
                         "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and they must be allowed to list, read and "
                         "write there")  # fmt: skip
    return (
        _Away(f"{what}: {said}", UNEXPECTED) if _is_away(" ".join(lines)) else UserError(f"{what}: {said}", UNEXPECTED)
    )


def _is_away(text: str) -> bool:
    """Whether an error says that a server did not answer, or not now."""
    return any(word in text for word in AWAY)


def _needed(root: Path, stage: str) -> list[str]:
    """What `dvc pull` is asked for: dependencies of the stage that are in DVC's care."""
    graph = read(root / "dvc.yaml")["stages"]
    made = {path for entry in graph.values() for path in _stored(entry)}
    wanted = [str(path) for path in graph[stage].get("deps", ()) if not is_code(str(path))]
    sources = [name for name in (source(root) or "",) if name and (root / f"{name}.dvc").exists()]
    return [*(name for name in wanted if name in made), *(sources if any("${" in name for name in wanted) else ())]


def source(root: Path) -> str | None:
    """`prepare.source` of the project at `root`: a path below it, or None where it has no such parameter."""
    section = read(root / "params.yaml").get("prepare")
    return str(section["source"]) if isinstance(section, dict) and section.get("source") else None


def _stored(entry: dict[str, Any]) -> list[str]:
    """The outputs of a stage that DVC stores, and git does not."""
    found = []
    for out in (*entry.get("outs", ()), *entry.get("metrics", ())):
        name, options = (out, {}) if isinstance(out, str) else next(iter(out.items()))
        if (options or {}).get("cache", True):
            found.append(name)
    return found


# Of exceptions and answers, by name; botocore and aiohttp raise them, and DVC prints them. ("reached max retries" is
# none of them: botocore says it of a refusal too.)
AWAY = (
    "EndpointConnectionError", "Could not connect", "Connection reset", "Connection refused", "Cannot connect",
    "ConnectTimeout", "ReadTimeout", "Read timeout", "timed out", "Connection was closed", "IncompleteRead",
    "ServerDisconnected", "Server disconnected", "SlowDown", "ServiceUnavailable", "Service Unavailable",
    "InternalError", "Internal Server Error", "(500)", "(502)", "(503)", "(504)", "BadGateway", "Bad Gateway",
    "Temporary failure in name resolution", "Network is unreachable", "RequestTimeout", "Broken pipe",
    "failed to connect", "Please reduce your request rate",
)  # fmt: skip
