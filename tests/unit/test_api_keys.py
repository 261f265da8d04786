"""Keys of the model servers: their file, what a server makes of it, and their rate."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from commands.main import run
from slipway.errors import CatalogueInvalid, KeyNameTaken, KeysMissing, SourceMissing
from slipway.serving import api_keys
from slipway.serving.api_keys import Keyring, own_key, require_keys
from slipway.serving.key_check import _duration
from slipway.serving.request_rate import RequestRates
from slipway.settings import Settings

FAULTS = {
    b"{": "the file: ",
    b"\xff\xfe": "the file: ",
    b'{"format": 2, "keys": []}': "format: ",
    b'{"keys": [{"name": "a/b", "sha256": "", "created": "2026-11-29T07:00:00Z"}]}': "keys.0.name",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a new home."""
    monkeypatch.delenv("SLIPWAY_SERVE_KEYS_FILE", raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    return Settings()


def new(file: Path, name: str = "ann", rate: int | None = None) -> str:
    """Make a key of all models."""
    return api_keys.new(file, name, None, rate)[0]


def test_the_file_holds_no_key_and_nobody_else_reads_it(settings: Settings) -> None:
    """A copy of the file signs nobody in."""
    key = new(settings.keys_file)

    text = settings.keys_file.read_text(encoding="utf-8")
    assert key.startswith("sk-slipway-")
    assert key not in text
    assert key.removeprefix("sk-slipway-") not in text
    assert settings.keys_file.stat().st_mode & 0o777 == 0o600


def test_a_server_follows_the_file(settings: Settings) -> None:
    """A new key is valid at once, and a revoked one is not; without the file nobody has one."""
    keyring = Keyring(settings, is_exposed=False)
    assert not keyring.is_required

    ann, bob = new(settings.keys_file).encode(), new(settings.keys_file, "bob").encode()
    assert keyring.is_required
    assert [key.name for key in map(keyring.find, (ann, bob)) if key] == ["ann", "bob"]

    api_keys.revoke(settings.keys_file, "ann")
    assert keyring.find(ann) is None
    assert keyring.find(bob)

    settings.keys_file.unlink()
    assert keyring.is_required
    assert keyring.find(bob) is None


@pytest.mark.parametrize("content", FAULTS)
def test_a_file_with_faults_changes_nothing(
    settings: Settings, content: bytes, server_log: pytest.LogCaptureFixture
) -> None:
    """Neither lets it anybody in nor does it keep anybody out; the log names the place."""
    key = new(settings.keys_file).encode()
    keyring = Keyring(settings, is_exposed=False)
    settings.keys_file.write_bytes(content)

    assert keyring.find(key)
    assert keyring.find(b"another") is None
    assert FAULTS[content] in server_log.text
    with pytest.raises(CatalogueInvalid, match=FAULTS[content]):
        require_keys("127.0.0.1", settings)


@pytest.mark.parametrize(
    "key", [b"", b"\xff\x00\xfe", b"k" * 16_000, "schlüssel".encode("latin-1")]
)
def test_odd_bytes_are_no_key(settings: Settings, key: bytes) -> None:
    """They are compared as bytes and never decoded."""
    new(settings.keys_file)

    assert Keyring(settings, is_exposed=False).find(key) is None


def test_a_home_has_a_key_of_its_own(settings: Settings) -> None:
    """Valid wherever keys are required, and where there is no other."""
    own = own_key(settings.home).encode()

    assert Keyring(settings, is_exposed=False).find(own) is None
    exposed = Keyring(settings, is_exposed=True)
    found = exposed.find(own)
    assert exposed.is_required
    assert found
    assert found.name == "slipway"


def test_other_machines_need_a_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that exists, or that is named: then nobody has a key until one is made."""
    require_keys("127.0.0.1", settings)
    require_keys("::1", settings)
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):  # noqa: S104
        with pytest.raises(KeysMissing, match="slipway keys new NAME"):
            require_keys(host, settings)

    monkeypatch.setenv("SLIPWAY_SERVE_KEYS_FILE", str(settings.home / "keys.json"))
    require_keys("0.0.0.0", Settings())  # noqa: S104
    assert Keyring(Settings(), is_exposed=False).is_required
    monkeypatch.delenv("SLIPWAY_SERVE_KEYS_FILE")
    new(settings.keys_file)
    require_keys("0.0.0.0", settings)  # noqa: S104


def test_a_name_has_one_key(settings: Settings) -> None:
    """Names of our own are taken, and a name of a file's path is none."""
    file = settings.keys_file
    new(file)

    for name in ("ann", "slipway", "unknown"):
        with pytest.raises(KeyNameTaken):
            new(file, name)
    for name in ("", "../ann", "a b", "ann\n", "x" * 65):
        with pytest.raises(CatalogueInvalid, match="name: "):
            new(file, name)
    with pytest.raises(SourceMissing, match="slipway keys list"):
        api_keys.revoke(file, "bob")


def test_a_file_never_gets_too_large_to_be_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that has no room is not made, and the others stay valid."""
    key = new(settings.keys_file).encode()
    monkeypatch.setattr(api_keys, "_MOST_BYTES", settings.keys_file.stat().st_size)

    with pytest.raises(CatalogueInvalid, match="revoke keys that nobody uses"):
        new(settings.keys_file, "bob")

    assert Keyring(settings, is_exposed=False).find(key)
    settings.keys_file.write_bytes(settings.keys_file.read_bytes() + b" ")
    with pytest.raises(CatalogueInvalid, match="has more than"):
        api_keys.read(settings.keys_file)


def test_keys_that_are_made_at_once_are_all_there(settings: Settings) -> None:
    """Each command waits for the one before."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: new(settings.keys_file, f"n{number}"), range(16)))

    assert len(api_keys.read(settings.keys_file).keys) == 16


def test_the_commands_make_list_and_revoke(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is printed once, and never again."""

    def said(*arguments: str) -> dict[str, object]:
        assert run(["keys", *arguments, "--json"]) == 0
        document: dict[str, object] = json.loads(capsys.readouterr().out)
        return document

    made = said("new", "ann", "--model", "tiny", "--model", "other", "--rate", "60")
    assert (made["models"], made["requests_per_minute"]) == (["tiny", "other"], 60)
    (listed,) = said("list")["keys"]  # type: ignore[misc]
    assert listed == {name: value for name, value in made.items() if name != "key"}

    assert run(["keys", "list"]) == 0
    assert str(made["key"]) not in capsys.readouterr().out
    assert said("revoke", "ann")["name"] == "ann"
    assert said("list")["keys"] == []
    assert run(["keys", "revoke", "ann"]) == 2
    assert run(["keys", "new", "ann", "--rate", "0"]) == 2


def clock(times: list[float]) -> Callable[[], float]:
    """Return a clock that shows these times, one a call."""
    return iter(times).__next__


def test_a_rate_is_a_bucket_that_fills_evenly(tmp_path: Path) -> None:
    """Three a minute: three at once, the fourth after 20 s, and again three after a minute."""
    rates = RequestRates(tmp_path, clock([100.0, 100.0, 100.0, 101.0, 120.0, 121.0, 200.0]))
    found = [rates.take("ann", 3) for _ in range(7)]

    assert [each.remaining for each in found] == [2, 1, 0, 0, 0, 0, 2]
    assert [round(each.wait_seconds, 3) for each in found] == [0, 0, 0, 19, 0, 19, 0]
    assert [round(each.full_seconds) for each in found] == [20, 40, 60, 59, 60, 59, 20]


def test_all_processes_count_in_the_same_bucket(tmp_path: Path) -> None:
    """Sixteen threads with files of their own, and ten requests that may pass."""
    now = clock([50.0] * 64)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: RequestRates(tmp_path, now).take("ann", 10), range(64)))

    assert sum(each.wait_seconds == 0 for each in found) == 10


def test_a_bucket_of_before_a_restart_of_the_machine_is_full(tmp_path: Path) -> None:
    """The clock began anew: the file's time is far ahead. A damaged file counts as none."""
    RequestRates(tmp_path, clock([1e6])).take("ann", 1)

    assert RequestRates(tmp_path, clock([5.0])).take("ann", 1).wait_seconds == 0
    (tmp_path / "ann").write_bytes(b"\xff")
    assert RequestRates(tmp_path, clock([5.0])).take("ann", 1).wait_seconds == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.0204, "21ms"), (1.0, "1s"), (1.25, "1.25s"), (20.0, "20s"), (60.0, "1m0s")],
)
def test_a_time_is_written_as_openai_does(seconds: float, text: str) -> None:
    """In the headers of the rate, and in the message."""
    assert _duration(seconds) == text
