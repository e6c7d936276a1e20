"""infra/s3 on Ceph: training reads data and writes runs, promotion writes models, neither does what is the other's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from own_repository import done, environment
from s3_servers import Ceph, serving

REPO = Path(__file__).parents[2]
USERS = ("training", "promotion", "mlflow")
BUCKETS = ("data", "runs", "models", "mlflow")
# What each may do with the object that is there, and with the bucket it is in.
ALLOWED = {
    "training": {"data": "read list", "runs": "read list write add", "models": "read list", "mlflow": ""},
    "promotion": {"data": "", "runs": "read list", "models": "read list write add", "mlflow": ""},
    "mlflow": {"data": "", "runs": "", "models": "", "mlflow": "read list write add delete"},
}
OPEN = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}]})  # fmt: skip


class Policed(Ceph):
    """Ceph with the three users of the pipeline beside the owner."""

    def users(self) -> None:
        for name in USERS:
            self._user(f"understudy-{name}", f"{name}key".upper(), f"{name}secret")

    def of(self, name: str):
        return boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
                            aws_access_key_id=f"{name}key".upper(), aws_secret_access_key=f"{name}secret")  # fmt: skip


@pytest.fixture(scope="module")
def ceph(tmp_path_factory):
    with serving("ceph", tmp_path_factory.mktemp("ceph"), Policed) as server:
        assert isinstance(server, Policed)
        server.users()
        for _ in range(2):  # the second time changes nothing
            made = subprocess.run([sys.executable, str(REPO / "infra/s3/buckets.py")], env=server.environment,
                                  capture_output=True, text=True, timeout=120)  # fmt: skip
            assert made.returncode == 0, made.stderr
        assert set(made.stdout.split()) == {f"understudy-{name}" for name in BUCKETS}
        yield server


def tried(client, verb: str, bucket: str) -> str:
    """'' or the server's word for what went wrong."""
    name = f"understudy-{bucket}"
    calls = {
        "read": lambda: client.get_object(Bucket=name, Key="there"),
        "list": lambda: client.list_objects_v2(Bucket=name),
        "write": lambda: client.put_object(Bucket=name, Key="there", Body=b"other"),
        "add": lambda: client.put_object(Bucket=name, Key="more", Body=b"more"),
        "delete": lambda: client.delete_object(Bucket=name, Key="there"),
        "police": lambda: client.put_bucket_policy(Bucket=name, Policy=OPEN),
        "remove": lambda: client.delete_bucket(Bucket=name),
    }
    try:
        calls[verb]()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("user", USERS)
def test_each_may_do_its_own_and_no_more(ceph, user, bucket):
    ceph.client().put_object(Bucket=f"understudy-{bucket}", Key="there", Body=b"there")
    client = ceph.of(user)
    for verb in ("read", "list", "add", "write", "delete", "police", "remove"):
        expected = "" if verb in ALLOWED[user][bucket].split() else "AccessDenied"
        assert tried(client, verb, bucket) == expected, verb


@pytest.mark.slow
def test_what_is_replaced_or_deleted_by_mistake_can_be_had_again(ceph):
    owner = ceph.client()
    for bucket in ("data", "models", "mlflow"):
        where = {"Bucket": f"understudy-{bucket}", "Key": "first"}
        first = owner.put_object(**where, Body=b"first")["VersionId"]
        owner.put_object(**where, Body=b"second")
        owner.delete_object(**where)
        assert owner.get_object(**where, VersionId=first)["Body"].read() == b"first"


@pytest.mark.slow
def test_pieces_of_a_large_upload_are_under_the_same_rule(ceph):
    """A policy that names PutObject alone would leave a door open here."""
    cases = {("training", "runs"): True, ("training", "models"): False, ("training", "data"): False,
             ("promotion", "models"): True, ("promotion", "runs"): False}  # fmt: skip
    for (user, bucket), allowed in cases.items():
        client, name = ceph.of(user), f"understudy-{bucket}"
        try:
            upload = client.create_multipart_upload(Bucket=name, Key="large")["UploadId"]
        except ClientError as error:
            assert not allowed and error.response["Error"]["Code"] == "AccessDenied"
            continue
        assert allowed, (user, bucket)
        part = client.upload_part(Bucket=name, Key="large", UploadId=upload, PartNumber=1, Body=b"x" * 100)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(Bucket=name, Key="large", UploadId=upload, MultipartUpload=parts)
        assert client.get_object(Bucket=name, Key="large")["Body"].read() == b"x" * 100


@pytest.mark.slow
def test_training_s_keys_are_enough_for_dvc_and_promotion_s_to_have_what_a_run_made(ceph, tmp_path):
    """What stages and flows ask of DVC's remote, with the run cache; nobody but training may send there."""
    root = tmp_path / "work"
    (root / ".dvc").mkdir(parents=True)
    lines = ["[core]", "analytics = false", "check_update = false", "remote = runs"]
    lines += ["['remote \"runs\"']", "url = s3://understudy-runs/dvc"]
    (root / ".dvc/config").write_text("\n".join(lines) + "\n")
    (root / "given").write_text("made\n")
    (root / "dvc.yaml").write_text("stages:\n  make:\n    cmd: cp given made\n    deps: [given]\n    outs: [made]\n")

    def dvc(user: str, *arguments: str) -> tuple[int, str]:
        keys = {"AWS_ACCESS_KEY_ID": f"{user}key".upper(), "AWS_SECRET_ACCESS_KEY": f"{user}secret",
                "HOME": str(tmp_path)}  # fmt: skip
        ran = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, text=True, capture_output=True,
                             env=environment() | ceph.environment | keys, timeout=300)  # fmt: skip
        return ran.returncode, ran.stdout + ran.stderr

    done(root, "git", "init", "-q")
    code, said = dvc("training", "repro")
    assert code == 0, said
    code, said = dvc("promotion", "push")
    assert code and ("denied" in said.lower() or "403" in said or "Forbidden" in said), said
    code, said = dvc("training", "push", "--run-cache", "make")
    assert code == 0, said
    for user in ("training", "promotion"):
        (root / "made").unlink()
        shutil.rmtree(root / ".dvc/cache")
        code, said = dvc(user, "pull", "make")
        assert code == 0 and (root / "made").read_text() == "made\n", said
    # A stage that another run has made comes from the run cache.
    shutil.rmtree(root / ".dvc/cache")
    (root / "made").unlink()
    (root / "dvc.lock").unlink()
    code, said = dvc("training", "repro", "--pull", "make")
    assert code == 0 and "Running stage" not in said and (root / "made").exists(), said


def test_policies_name_one_bucket_and_no_stranger():
    for path in (REPO / "infra/s3").glob("*.json"):
        for statement in json.loads(path.read_text())["Statement"]:
            resources = statement["Resource"]
            for resource in [resources] if isinstance(resources, str) else resources:
                assert resource.split("/")[0] == f"arn:aws:s3:::understudy-{path.stem}"
            people = statement["Principal"]["AWS"]
            for person in [people] if isinstance(people, str) else people:
                assert person.removeprefix("arn:aws:iam::ACCOUNT:user/understudy-") in USERS
