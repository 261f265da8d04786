"""Machines in namespaces of Linux: each has an address, a host name and processes of its own.

They share the kernel, the disk and the cores of this machine. So they show what happens in which
order, and what a failure leaves behind. They do not show how fast several machines are.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.project import PROJECT

_PROGRAMS = ("hostname", "ip", "nsenter", "setpriv", "unshare")
_NAMESPACES = ("--mount", "--net", "--pid", "--uts")
#: Adopts and reaps orphans, and outlives a test that kills all other processes of its machine.
_INIT = 'hostname "$0"; ip link set lo up; while :; do sleep infinity & wait; done'
_CARD = "eth0"
_START_SECONDS, _END_SECONDS = 30.0, 60.0

Processes = list[psutil.Process]


def this_machine(*words: object) -> list[str]:
    """Return the command that runs a program on this machine."""
    return [*map(str, words)]


def missing() -> str | None:
    """Return why no machine can be made here; None if they can."""
    if absent := [each for each in _PROGRAMS if shutil.which(each) is None]:
        return f"needs the programs {', '.join(absent)}"
    tried = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "--mount-proc", "true"],  # noqa: S607 - from PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return f"needs rights for namespaces: {tried.stderr.strip()}" if tried.returncode else None


@dataclass(frozen=True)
class Host:
    """One machine.

    Attributes:
        name: Its host name, which another one may have too.
        address: Where the others reach it.
        holder: Keeps it; with this process, everything on it ends.
        init: Number of its first process, as this process sees it.
    """

    name: str
    address: str
    holder: subprocess.Popen[bytes]
    init: int

    def command(self, *words: object) -> list[str]:
        """Return the command that runs a program there, in the folder of this project."""
        there = (f"--target={self.init}", *_NAMESPACES, f"--wdns={PROJECT}")
        return ["nsenter", *there, "--", *map(str, words)]

    def run(
        self, *words: object, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end.

        Args:
            words: Of the command.
            variables: Its environment; None for that of this process.
        """
        return subprocess.run(
            self.command(*words),
            env=None if variables is None else dict(variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    @contextmanager
    def running(
        self, *words: object, variables: Mapping[str, str], log: Path
    ) -> Iterator[psutil.Process]:
        """Run a program there until the body ends; give its process."""
        with log.open("ab") as output:
            outer = subprocess.Popen(
                self.command(*words), env=dict(variables), stdout=output, stderr=output
            )
        inner = _child(outer)
        try:
            yield inner
        finally:
            _end(inner, outer)

    def processes(self) -> Processes:
        """Return what runs there."""
        own = _namespace(self.init)
        return [
            each
            for each in psutil.process_iter()
            if each.pid != self.init and own and _namespace(each.pid) == own
        ]

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Pull its network cable while the body runs."""
        self._link("down")
        try:
            yield
        finally:
            self._link("up")

    def _link(self, state: str) -> None:
        self.run("ip", "link", "set", _CARD, state).check_returncode()

    def add_address(self, address: str) -> None:
        """Give it another address, of another network."""
        self.run("ip", "addr", "add", f"{address}/24", "dev", _CARD).check_returncode()

    def lose(self) -> None:
        """Switch it off: everything on it ends at once."""
        if self.holder.poll() is None:
            os.kill(self.init, signal.SIGKILL)
            self.holder.wait()


@dataclass(frozen=True)
class Network:
    """What connects machines with each other and with this process.

    Attributes:
        bridge: Its name.
        subnet: The first three numbers of all addresses.
        hosts: The machines that were made.
    """

    bridge: str
    subnet: str
    hosts: list[Host] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the machines reach this process."""
        return f"{self.subnet}.254"

    def add(self, name: str, address: str = "") -> Host:
        """Make a machine.

        Args:
            name: Its host name.
            address: Empty for a new one. One of another network is not reached from this one.
        """
        number = len(self.hosts) + 1
        host = _switched_on(name, address or f"{self.subnet}.{number}")
        self.hosts.append(host)
        port = f"{self.bridge}.{number}"
        card = ("peer", "name", _CARD, "netns", host.init)
        _ip("link", "add", port, "master", self.bridge, "type", "veth", *card)
        _ip("link", "set", port, "up")
        host.add_address(host.address)
        host._link("up")
        self._forget()
        return host

    def _forget(self) -> None:
        """Let every machine ask again who has an address, which may be that of a lost one.

        A real one announces itself when it takes over an address.
        """
        _ip("neigh", "flush", "dev", self.bridge)
        for host in self.hosts:
            if host.holder.poll() is None:
                host.run("ip", "neigh", "flush", "dev", _CARD).check_returncode()


@contextmanager
def network() -> Iterator[Network]:
    """Make a network; at the end, remove it with its machines."""
    number = os.getpid()
    # RFC 2544 keeps 198.18.0.0/15 for tests, so no real network has these addresses.
    made = Network(f"slipway{number}"[:12], f"198.18.{number % 250}")
    _ip("link", "add", made.bridge, "type", "bridge")
    try:
        _ip("addr", "add", f"{made.address}/24", "dev", made.bridge)
        _ip("link", "set", made.bridge, "up")
        yield made
    finally:
        for host in made.hosts:
            host.lose()
        _ip("link", "del", made.bridge)


def _switched_on(name: str, address: str) -> Host:
    ends_with_us = ("setpriv", "--pdeathsig", "KILL")
    machine = ("unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc")
    holder = subprocess.Popen([*ends_with_us, *machine, "sh", "-c", _INIT, name])
    host = Host(name, address, holder, _child(holder).pid)
    deadline = time.monotonic() + _START_SECONDS
    while host.run("hostname").stdout.strip() != name:
        assert time.monotonic() < deadline, f"{name} does not start"
        time.sleep(0.05)
    return host


def _child(outer: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the process that a program has started in a namespace."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and outer.poll() is None:
        if children := psutil.Process(outer.pid).children():
            return children[0]
        time.sleep(0.01)
    raise AssertionError(f"{outer.args} has started nothing")


def _end(inner: psutil.Process, outer: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        inner.terminate()
    try:
        outer.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        inner.kill()
        outer.wait()


def _namespace(pid: int) -> str:
    """Return the namespace in which a process has its number; empty if it has ended."""
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    return ""


def _ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)  # noqa: S607 - from PATH
