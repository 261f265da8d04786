"""An S3 store with an empty bucket, by moto."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.full_stack import serving
from tests.support.network import free_port

BUCKET = "slipway"
KEYS = {
    "AWS_ACCESS_KEY_ID": "slipway",
    "AWS_SECRET_ACCESS_KEY": "a-key-of-the-store",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_CREATE = (
    "import boto3, sys; "
    "boto3.client('s3', endpoint_url=sys.argv[1]).create_bucket(Bucket=sys.argv[2])"
)


def missing() -> str | None:
    """Return why there is no S3 store here; None if there is."""
    absent = [each for each in ("boto3", "moto") if not find_spec(each)]
    names = ", ".join(absent)
    return f"needs the Python packages {names} (boto3, moto[server])" if absent else None


def server(address: str, port: object) -> tuple[str, ...]:
    """Return the command that runs a store."""
    return (sys.executable, "-m", "moto.server", "-H", address, "-p", str(port))


def create_bucket(url: str) -> tuple[str, ...]:
    """Return the command that makes the bucket."""
    return (sys.executable, "-c", _CREATE, url, BUCKET)


@contextmanager
def s3_store(folder: Path) -> Iterator[dict[str, str]]:
    """Run a store on this machine; give the variables by which a client reaches it.

    Args:
        folder: Of its log.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = os.environ | KEYS
    _, *arguments = server("127.0.0.1", port)
    with serving("S3", arguments, variables, folder / "s3.log", f"{url}/moto-api/"):
        subprocess.run(create_bucket(url), env=variables, check=True)
        yield KEYS | {"MLFLOW_S3_ENDPOINT_URL": url}
