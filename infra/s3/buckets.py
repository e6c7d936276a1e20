"""Make the four buckets, or look at those that are there, and give each its policy: `python infra/s3/buckets.py`.

With the keys of the buckets' owner in the environment (AWS_ACCESS_KEY_ID and so on, AWS_ENDPOINT_URL). The policies
name three users, who have no other rights: understudy-training, understudy-promotion, understudy-mlflow. On AWS the
number of their account is the argument; Ceph has none. Run again, it changes nothing but what differs.
"""

import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

POLICIES = sorted(Path(__file__).parent.glob("*.json"))  # BUCKET.json, without the prefix
PREFIX = "understudy-"
KEPT = ("data", "models", "mlflow")  # what is overwritten or deleted there by mistake can be had again


def apply(client: Any, account: str) -> list[str]:
    """The buckets, each now there with its policy. client: S3's, of their owner. account: AWS's number, or nothing."""
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for path in POLICIES:
        bucket = PREFIX + path.stem
        if bucket not in there:
            region = client.meta.region_name
            # us-east-1 is the one region that must not be named.
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            client.create_bucket(Bucket=bucket, **where)
        if path.stem in KEPT:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        client.put_bucket_policy(Bucket=bucket, Policy=path.read_text().replace("ACCOUNT", account))
    return [PREFIX + path.stem for path in POLICIES]


def main() -> int:
    try:
        for bucket in apply(boto3.client("s3"), "".join(sys.argv[1:])):
            print(bucket)
    except (BotoCoreError, ClientError) as error:
        print(f"buckets.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
