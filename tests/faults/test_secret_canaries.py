"""Unique fake secrets go through a good release and failing ones; then they are looked for.

Nothing that was written may hold one, nor may a process find one that it does not need.
"""

import re
import shutil
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support import secret_canaries
from tests.support.full_stack import Running, running
from tests.support.hub import LocalHub
from tests.support.project import Project

pytestmark = pytest.mark.slow

#: What ``slipway up`` and the commands beside it are given.
GIVEN = {
    name: secret_canaries.kernel() for name in ("auth", "hf", "hub hook", "mlflow hook", "aws")
}
GIVEN |= {name: secret_canaries.kernel() for name in ("database", "proxy", "block", "message")}

#: What is wrong, and told to one command alone.
WRONG = {
    name: secret_canaries.kernel() for name in ("token", "password", "nobody", "hook", "address")
}

#: Programs, by their command line, and the secrets that they need; all others need none. A tool of
#: the system (git, uname) may find what the process has that asks it. A child that a fork server
#: made shows the environment of its server, which has no secret.
NEEDED: Mapping[str, AbstractSet[str]] = {
    r"python -c \S*(import|from) ": GIVEN.keys() | WRONG.keys(),  # a person's own shell
    r"uvicorn --factory deployments\.prefect_app": {
        "auth",
        "database",
        "proxy",
        "block-encryption",
    },
    r"mlflow(\.server| server|/server)": {"aws", "proxy", "webhook-encryption", "mlflow-forms"},
    r"python -P -m deployments\.apply": {"auth", "mlflow hook"},
    r"python -P -m prefect --no-prompt deploy": {"auth"},
    r"python (-P )?-m (prefect( worker|\.engine|\.runner)|deployments\.worker)": {
        *("auth", "hf", "proxy"),
    },
    r"python -P -m deployments\.receiver": {"auth", "hub hook", "mlflow hook"},
    r"python -P -m slipway\.system\.worker": {"auth"},  # fetches a version for the model server
    r"python -P -m slipway\.serving|python (-B )?-P -c from multiprocessing": {"auth"},
}

#: Tools of the system that live for a moment, so that nobody may see them, and what they may find.
BRIEF: Mapping[str, AbstractSet[str]] = {
    # MLflow asks for the commit when the child that logs models opens a run.
    r"^git .* of \S*python -P -m slipway\.system\.fork_server \d+ torch": {"auth"},
}

ENTRY = """
[models.{name}]
title = "{name}"
source = {{ kind = "hub", repo = "acme/{repo}", endpoint = "{endpoint}" }}
recipe = {{ kind = "quantize", candidates = [{{ precision = "fp32" }}] }}
wrappers = {{ onnx = "prompt" }}
suite = "brief"
texts = "brief"
licenses = ["mit"]
gates = {{ compared_tokens = {{ min = 100 }} }}
"""

SLIPWAY = ("-c", "from commands.main import main; main()")
BLOCKS = """import os
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.system import Secret
Secret(value=os.environ["BLOCK"]).save("vault")
SlackWebhook(url=f"https://hooks.slack.com/services/T0/B0/{os.environ['MESSAGE']}").save("ops")
from prefect.client.orchestration import get_client
from deployments.apply import apply_automations
with get_client(sync_client=True) as client:
    apply_automations(client, "slack-webhook/ops")
"""
#: What goes wrong: the exit code, the command, and what it is given.
FAILURES: Mapping[str, tuple[int, tuple[str, ...], Mapping[str, str]]] = {
    "wrong token": (2, ("release", "guarded"), {"HF_TOKEN": f"hf_{WRONG['token']}"}),
    "the Hub is away": (1, ("release", "away", "--json"), {}),
    "access is refused": (2, ("release", "closed"), {}),
    "the checkpoint is broken": (2, ("release", "broken"), {}),
    "a child is ended": (
        1,
        ("release", "guarded", "--recipe", "int8"),
        {"SLIPWAY_STEP_MEMORY_GB": "0.02"},
    ),
    "no such model": (2, ("release", "nobody", "--json"), {}),
    "nothing to roll back to": (2, ("rollback", "guarded", "--reason", "a test"), {}),
    "wrong password": (1, ("doctor", "--json"), {"SLIPWAY_AUTH": f"operator:{WRONG['password']}"}),
    "MLflow refuses us": (2, ("status",), {"SLIPWAY_AUTH": f"operator:{WRONG['password']}"}),
    "no user": (2, ("doctor",), {"SLIPWAY_AUTH": f":{WRONG['nobody']}"}),
    "a password in an address": (
        2,
        ("variants", "acme/guarded"),
        {"HF_ENDPOINT": f"http://ann:{WRONG['address']}@127.0.0.1:9"},
    ),
    "no such database": (
        1,
        ("status", "--json"),
        {"MLFLOW_TRACKING_URI": f"postgresql://ann:{WRONG['address']}@127.0.0.1:9/mlflow"},
    ),
    "the proxy is away": (1, ("variants", "acme/any"), {"HF_ENDPOINT": "http://hub.invalid"}),
}


@dataclass(frozen=True)
class Told:
    """What became of a command or a request.

    Attributes:
        code: Exit code or HTTP status.
        said: All that it said.
    """

    code: int
    said: str


@dataclass(frozen=True)
class Aftermath:
    """What is there after the good run and the failing ones.

    Attributes:
        folder: Holds all that was written.
        told: What became of each failing run.
        texts: Every byte that was written or said, but for files of secrets.
        witness: What processes found.
    """

    folder: Path
    told: Mapping[str, Told]
    texts: Mapping[str, bytes]
    witness: secret_canaries.Witness

    def made(self) -> dict[str, str]:
        """Return the secrets that the machine made for itself."""
        files = (self.folder / "home" / "secrets").iterdir()
        return {f.name: f.read_text("utf-8").rstrip("=") for f in files if f.suffix != ".ini"}


def secrets() -> dict[str, str]:
    """Return the variables that hold them."""
    return {
        "SLIPWAY_AUTH": f'operator:{GIVEN["auth"]}+/%"',
        "HF_TOKEN": f"hf_{GIVEN['hf']}",
        "SLIPWAY_HUB_WEBHOOK_SECRET": GIVEN["hub hook"],
        "SLIPWAY_MLFLOW_WEBHOOK_SECRET": GIVEN["mlflow hook"],
        "AWS_SECRET_ACCESS_KEY": GIVEN["aws"],
        "PREFECT_SERVER_DATABASE_PASSWORD": GIVEN["database"],
        "HTTPS_PROXY": f"http://ann:{GIVEN['proxy']}@127.0.0.1:9",
        "HTTP_PROXY": f"http://ann:{GIVEN['proxy']}@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Aftermath:
    """Run everything once with these secrets: a good release, and more that fail."""
    folder = tmp_path_factory.mktemp("canaries")
    hub = LocalHub(folder.with_name("hub"), {f"hf_{GIVEN['hf']}": "ann"})
    broken = shutil.copytree(checkpoint, folder.with_name("broken"))
    (broken / "model.safetensors").write_bytes(b"no weights")
    for name, files in {"guarded": checkpoint, "closed": checkpoint, "broken": broken}.items():
        hub.push(f"acme/{name}", files)
    hub.configure("acme/guarded", gated="manual", readers={"ann"})
    hub.configure("acme/closed", gated="manual")
    with hub.serve() as served, secret_canaries.watched() as witness:
        served_here = {"HF_ENDPOINT": served.endpoint, "SLIPWAY_SERVE": "guarded"}
        more = secrets() | secret_canaries.sandboxed(folder) | served_here
        arrange = partial(_add_entries, endpoint=served.endpoint)
        with running(folder, checkpoint, more, arrange=arrange) as everything:
            _prepare(everything)
            everything.release("guarded")
            told = _fail(everything)
            everything.wait_until_it_serves()
            again = everything.command(*SLIPWAY, "redeploy", "guarded", **_at_work(everything))
            said = again.stdout + again.stderr + everything.logs()
            assert again.returncode == 0, said  # and it uses the server's key
            logs = _flow_run_logs(everything)
    said = {name: each.said.encode() for name, each in told.items()} | {"logs by API": logs}
    texts = secret_canaries.written(folder, folder / "home" / "secrets") | said
    return Aftermath(folder, told, texts, witness)


def _prepare(everything: Running) -> None:
    """Let no schedule release anything, and have blocks with secrets, one of them in use."""
    for each in everything.prefect("/deployments/filter", {}):
        if each["name"] in {"watch-sources", "release-catalogue"}:
            everything.prefect(f"/deployments/{each['id']}/pause_deployment", {})
    given = {"BLOCK": GIVEN["block"], "MESSAGE": GIVEN["message"]}
    saved = everything.command("-c", BLOCKS, **_at_work(everything), **given)
    assert saved.returncode == 0, saved.stdout + saved.stderr


def _flow_run_logs(everything: Running) -> bytes:
    lines: list[str] = []
    while page := everything.prefect("/logs/filter", {"offset": len(lines), "limit": 200}):
        lines += [each["message"] for each in page]
    return "\n".join(lines).encode()


def _at_work(everything: Running) -> dict[str, str]:
    """Return what a person sets to work against the servers, besides the password."""
    return {
        "PREFECT_API_URL": f"{everything.url('prefect')}/api",
        "PREFECT_API_AUTH_STRING": everything.environment["SLIPWAY_AUTH"],
        "MLFLOW_TRACKING_URI": everything.url("mlflow"),
    }


def _fail(everything: Running) -> dict[str, Told]:
    """Let go wrong what can, some at a time, while the good release is at work."""

    def run(name: str) -> Told:
        _, words, more = FAILURES[name]
        done = everything.command(*SLIPWAY, *words, **(_at_work(everything) | more))
        return Told(done.returncode, done.stdout + done.stderr)

    with ThreadPoolExecutor(2) as pool:
        told = dict(zip(FAILURES, pool.map(run, FAILURES), strict=True))
    return told | _refused_requests(everything)


def _refused_requests(everything: Running) -> dict[str, Told]:
    told = {}
    for sender, header in {"hub": "X-Webhook-Secret", "mlflow": "X-MLflow-Signature"}.items():
        answer = httpx.post(
            f"{everything.url('receiver')}/hooks/{sender}",
            json={},
            headers={header: WRONG["hook"]},
        )
        told[f"{sender} hook refused"] = Told(answer.status_code, answer.text)
    return told


def _add_entries(project: Project, endpoint: str) -> None:
    with project.catalogue.open("a", encoding="utf-8") as file:
        for name, repo, where in (
            ("guarded", "guarded", endpoint),
            ("closed", "closed", endpoint),
            ("broken", "broken", endpoint),
            ("away", "guarded", "http://127.0.0.1:9"),
        ):
            file.write(ENTRY.format(name=name, repo=repo, endpoint=where))


def test_every_run_failed_in_its_own_way(aftermath: Aftermath) -> None:
    """Or what follows would say little."""
    expected = {name: code for name, (code, _, _) in FAILURES.items()}
    expected |= {"hub hook refused": 401, "mlflow hook refused": 401}

    assert {name: each.code for name, each in aftermath.told.items()} == expected
    assert len({each.said for each in aftermath.told.values()}) == len(expected)


def test_no_secret_was_written(aftermath: Aftermath) -> None:
    """Not in a log, a database, an artifact, a cache or an answer, in whatever form."""
    secrets_of_all = {**GIVEN, **WRONG, **aftermath.made()}

    assert len(secrets_of_all) == 18
    assert len(aftermath.texts) > 150
    assert b"guarded" in aftermath.texts["logs by API"]
    assert b"slipway.key" in aftermath.texts["home/mlflow/mlflow.db rows"]
    assert b"ops" in aftermath.texts["home/prefect/prefect.db rows"]
    assert b"posting to Slack" in aftermath.texts["home/logs/up-prefect.log"]
    assert secret_canaries.hits(aftermath.texts, secrets_of_all) == set()


def test_no_process_found_a_secret_that_it_does_not_need(aftermath: Aftermath) -> None:
    """In its environment, or on its command line; and each row of the table was seen at work."""
    found = secret_canaries.hits(aftermath.witness.seen, {**GIVEN, **WRONG, **aftermath.made()})
    allowed = {**NEEDED, **BRIEF}

    needed = {
        (secret, program)
        for secret, program in found
        if any(secret in row and re.search(pattern, program) for pattern, row in allowed.items())
    }
    assert found - needed == set()
    assert [
        pattern
        for pattern in NEEDED
        if not any(re.search(pattern, program) for program in aftermath.witness.seen)
    ] == []


def test_files_of_secrets_are_for_their_owner_alone(aftermath: Aftermath) -> None:
    """The only place where secrets lie."""
    folder = aftermath.folder / "home" / "secrets"

    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert GIVEN["auth"] in (folder / "mlflow-auth.ini").read_text(encoding="utf-8")
