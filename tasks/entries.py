"""Model → Entry, and the release that may already be there."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway import catalogue, expectations, keys
from slipway.settings import Settings, toolchain
from slipway.store import sha256
from slipway.values import Entry, Release, Revision
from tasks.approval import settle_approval
from tasks.edge import registry
from tasks.policies import DELAYS_SECONDS, worth_retrying


def entry_of(model: str) -> Entry:
    """Return the catalogue's entry ``model``."""
    return catalogue.find(Settings().catalogue, model)


def key_of(entry: Entry, revision: Revision) -> str:
    """Return the release key: what is made, of what, with what, and how it is tested."""
    settings = Settings()
    shipped = {
        "wrapper": sha256(settings.wrappers / "onnx_genai.py"),
        "prompts": sha256(settings.expectations / "prompts" / f"{entry.suite}.json"),
        "onnx": expectations.suite_digest(settings.expectations, entry.wrappers.onnx),
        "transformers": expectations.suite_digest(
            settings.expectations, entry.wrappers.transformers
        ),
    }
    return keys.release_key(entry, revision, toolchain(), shipped)


@task(
    task_run_name="find {entry.name} {key:.8}",
    description="Ask the registry whether an earlier run already released this.",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=DELAYS_SECONDS,
    retry_condition_fn=worth_retrying,
    timeout_seconds=600,
)
def find_release(entry: Entry, key: str) -> Release | None:
    """Return the finished release with this key; None if there is none.

    What a person answered in the MLflow UI is carried out before.
    """
    settle_approval(entry)
    return registry().released(entry.name, key)
