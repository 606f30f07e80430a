"""Network namespaces for tests: made, entered by the test itself, and deleted."""

import ctypes
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True)
class TestNamespace:
    """One namespace, with loopback up."""

    __test__ = False
    name: str

    def run(self, command: str, **options: object) -> str:
        """Run a command in it; its output.  A command that fails is an error."""
        argv = ["ip", "netns", "exec", self.name, *command.split()]
        result = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets and processes made meanwhile, by this thread, belong to the namespace."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(Path("/run/netns") / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(inside)
            yield
        finally:
            _setns(before)
            os.close(before)
            os.close(inside)


def device_name() -> str:
    """The name of a tunnel's device, as the node draws it."""
    return "re6st" + secrets.token_hex(4)


@contextmanager
def namespaces(count: int) -> Iterator[list[TestNamespace]]:
    """Make namespaces, apart from each other."""
    made = [TestNamespace(f"adp{secrets.token_hex(4)}") for _ in range(count)]
    try:
        for namespace in made:
            subprocess.run(["ip", "netns", "add", namespace.name], check=True)
            namespace.run("ip link set lo up")
        yield made
    finally:
        for namespace in made:
            # A test that failed leaves what it started; without its devices openvpn would spin for ever.
            argv = ["ip", "netns", "pids", namespace.name]
            left = subprocess.run(argv, check=False, capture_output=True, text=True).stdout.split()
            for pid in {int(word) for word in left} - {os.getpid()}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", namespace.name], check=False, capture_output=True)


def connect(left: TestNamespace, right: TestNamespace) -> None:
    """A cable: 192.0.2.1 and 2001:db8:1::1 on the left, .2 and ::2 on the right, both named ``wire``."""
    subprocess.run(
        f"ip link add wire netns {left.name} type veth peer name wire netns {right.name}".split(), check=True
    )
    for number, namespace in enumerate((left, right), 1):
        namespace.run(f"ip addr add 192.0.2.{number}/24 dev wire")
        namespace.run(f"ip addr add 2001:db8:1::{number}/64 dev wire nodad")
        namespace.run("ip link set wire up")
