"""A cluster of PostgreSQL, with the databases of both servers, as the documents say."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support.hosts import this_machine
from tests.support.network import free_port
from tests.support.project import PROJECT

PROGRAMS = Path("/usr/lib/postgresql/15/bin")

_PASSWORDS = {
    "PGPASSWORD": "an-administrators-password",
    "PREFECT_PASSWORD": "a-password-of-prefect's",
    "MLFLOW_PASSWORD": "a-password-of-mlflow's",
}


def missing() -> str | None:
    """Return why there is no PostgreSQL here; None if there is."""
    if not PROGRAMS.is_dir():
        return "needs Debian's package postgresql"
    if not find_spec("psycopg2"):
        return "needs slipway[containers]"
    return "becomes the user postgres, which takes root" if os.getuid() else None


@dataclass(frozen=True)
class Cluster:
    """A cluster that listens on the loopback interface of one machine.

    Attributes:
        folder: Its files.
        port: Where it listens.
        on: Returns the command that runs a program on its machine.
    """

    folder: Path
    port: str
    on: Callable[..., list[str]] = this_machine

    @property
    def administrator(self) -> dict[str, str]:
        """The environment of its administrator's programs."""
        where = {"PGHOST": "127.0.0.1", "PGPORT": self.port, "PGUSER": "postgres"}
        return os.environ | where | _PASSWORDS

    @property
    def settings(self) -> dict[str, str]:
        """What makes both servers of its machine use it."""
        at = f"127.0.0.1:{self.port}"
        return {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
                f"postgresql+asyncpg://prefect:a-password-of-prefect%27s@{at}/prefect"
            ),
            "MLFLOW_TRACKING_URI": self.mlflow_address("mlflow"),
        }

    def mlflow_address(self, database: str) -> str:
        """Return the address by which MLflow's server reaches one of its databases."""
        at = f"127.0.0.1:{self.port}"
        return f"postgresql://mlflow:a-password-of-mlflow%27s@{at}/{database}"

    def run(self, program: str, *words: str) -> None:
        """Run one of PostgreSQL's programs as the administrator."""
        command = self.on(PROGRAMS / program, *words)
        subprocess.run(command, env=self.administrator, check=True)

    def create(self) -> None:
        """Make users and databases."""
        self.run("psql", "-q", "-f", str(PROJECT / "deployments" / "postgres.sql"))

    def restart(self) -> None:
        """Let it crash, and start it again."""
        self._control("-m", "immediate", "-w", "restart").check_returncode()

    def _initialize(self) -> None:
        self.folder.mkdir()
        password = self.folder / "password"
        password.write_text(_PASSWORDS["PGPASSWORD"], encoding="utf-8")
        for each in (self.folder, password):
            shutil.chown(each, "postgres", "postgres")
        how = ("--auth=scram-sha-256", f"--pwfile={password}", "--no-sync")
        self._as_postgres("initdb", "-D", self._data, *how).check_returncode()

    def _control(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._as_postgres("pg_ctl", "-D", self._data, "-l", self.folder / "log", *words)

    def _as_postgres(self, program: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a program as PostgreSQL's own user."""
        command = self.on("runuser", "-u", "postgres", "--", PROGRAMS / program, *words)
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")

    @property
    def _data(self) -> Path:
        return self.folder / "data"


@contextmanager
def cluster(name: str, on: Callable[..., list[str]] = this_machine) -> Iterator[Cluster]:
    """Run a cluster of its own until the body ends; its machine may be lost by then.

    Args:
        name: Tells it from others.
        on: Returns the command that runs a program on its machine.
    """
    folder = Path(f"/tmp/slipway-postgresql-{os.getpid()}-{name}")  # noqa: S108 - for the user postgres
    made = Cluster(folder, str(free_port()), on)
    made._initialize()
    where = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        made._control("-o", f"-p {made.port} {where}", "-w", "start").check_returncode()
        yield made
    finally:
        made._control("-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)
