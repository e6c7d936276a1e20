"""What every use of S3 shares: a client, listings, and what boto3's errors mean.

Endpoint, region and credentials are boto3's own business (AWS_ENDPOINT_URL, AWS_PROFILE, AWS_ACCESS_KEY_ID, roles,
~/.aws); none of them is a parameter.
"""

import base64
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from understudy.data.mirror import Remote
from understudy.errors import UserError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

WORKERS = 16  # requests at a time: small objects are bound by the way there and back
REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed")
DENIED = ("AccessDenied", "AllAccessDisabled", "403")
ABSENT = ("NoSuchKey", "404")


@contextmanager
def explained(where: str, needs: str) -> Iterator[None]:
    """Turn boto3's errors within the block into UserError of one line that begins with `where`.

    needs: the permissions that the block takes, for whoever is denied one.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise UserError(f"{where}: needs boto3: pip install 'understudy[ops]'") from None
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise UserError(f"{where}: {_meaning(error, needs)}") from error


def connect(where: str) -> Any:
    """A client that retries by itself, with exponential backoff; AWS_MAX_ATTEMPTS says how often.

    Raises UserError that begins with `where` when what the environment says of the endpoint cannot be used.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard"}, max_pool_connections=WORKERS, connect_timeout=10, read_timeout=60,
        # Of a range some servers give the checksum of the whole, which botocore would miss in it; s3_object compares.
        response_checksum_validation="when_required",
    )  # fmt: skip
    try:
        return boto3.Session().client("s3", config=config)  # not the global one: that keeps the first credentials
    except ValueError as error:
        raise UserError(f"{where}: AWS_ENDPOINT_URL or AWS_MAX_ATTEMPTS: {error}") from error


def listed(client: Any, bucket: str, prefix: str) -> list[Remote]:
    """Every object whose key begins so; the empty ones that stand for folders are left out."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [
        Remote(entry["Key"], entry["ETag"].strip('"'), entry["Size"])
        for page in pages
        for entry in page.get("Contents", [])
        if entry["Size"] or not entry["Key"].endswith("/")
    ]


def read_small(client: Any, bucket: str, key: str, most: int = 2**20) -> bytes | None:
    """An object's first `most` bytes, or None where there is none."""
    from botocore.exceptions import ClientError

    try:
        answer = client.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code(error) in ABSENT:
            return None
        raise
    with closing(answer["Body"]) as body:
        return body.read(most)


def split(address: str) -> tuple[str, str]:
    """`s3://BUCKET[/PREFIX]` -> the bucket, and the prefix without a slash at its end. Raises UserError."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/")
    odd = any(part in ("", ".", "..") for part in prefix.split("/")) if prefix else False
    if not address.startswith("s3://") or not bucket or odd:
        raise UserError(f"{address}: expected s3://BUCKET/PREFIX")
    return bucket, prefix


def code(error: "ClientError") -> str:
    """S3's own name for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def in_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _meaning(error: Any, needs: str) -> str:
    """What boto3's error means to whoever gave the address, in one line."""
    from botocore import exceptions

    found = code(error) if isinstance(error, exceptions.ClientError) else ""
    if found == "NoSuchBucket":
        return "no such bucket at this endpoint (AWS_ENDPOINT_URL)"
    if found in REFUSED:
        return f"the credentials are refused ({found}); boto3 takes them from AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws"
    if found in DENIED:
        return f"access denied ({found}): it takes {needs}"
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return "no credentials; boto3 takes them from AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws"
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return f"the server cannot be reached or stopped answering: {error}"
    return " ".join(str(error).split())
