"""The real programs on the machines of a lab: a registry, nodes that join it, and their daemons.

The lab knows them by their command lines and their ``--json`` output only, as any user does.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from cryptography import x509

from netns_lab import cleanup
from netns_lab.lab import Lab
from netns_lab.namespace import Machine, last_line
from netns_lab.programs import own
from netns_lab.topology.model import OVERLAY, TRANSPORTS, Address
from re6st_core.errors import RouterError

T = TypeVar("T")

NETWORK = str(OVERLAY)
_READY_PATH = "/cas/crt/ca.crt.pem"
_READY_WITHIN_S = 20.0
_READY_EVERY_S = 0.05
_STOP_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One line of a node's ``re6st status``."""

    peer: str  # CN
    transport: str  # "wireguard" or "openvpn"
    state: str

    @property
    def active(self) -> bool:
        """Whether Babel hears the peer through it; otherwise it is an attempt."""
        return self.state == "active"


class Mesh:
    """Use as a context manager around everything that runs: it watches the daemons."""

    def __init__(self, lab: Lab, *, registry: str, client_count: int = 3, port: int = 1194) -> None:
        """``registry`` names the machine that hosts it; all others are nodes."""
        self._lab = lab
        self._registry = registry
        self._client_count = client_count
        self._port = port
        self.nodes = tuple(node for node in lab.topology.nodes if node != registry)
        self.addresses: dict[str, IPv6Address] = {}  # of the nodes that have joined
        self.cns: dict[str, str] = {}  # theirs, as other nodes name them
        self.options: dict[str, list[str]] = {}  # of a node's daemon, besides those of the topology
        both = (lab.topology.address_of(registry), lab.topology.address6_of(registry))
        self._hosts = [address for address in both if address is not None]
        self.url = _url(self._hosts[0])
        self._fingerprint = ""
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._watches: dict[int, str] = {}  # pidfd -> name
        # Enrolment is work for the processor: more at once would only be slower.
        self._enough = asyncio.Semaphore(os.cpu_count() or 1)
        self._making_tokens = asyncio.Lock()
        self._tokens: list[str] = []

    def __enter__(self) -> Self:
        self._death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if (pid := self._lab.internet.pid) is not None:  # else the kernel carries the frames
            self._watch("the switch", pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._watches:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
        if self._death.done() and not self._death.cancelled():
            self._death.exception()  # seen: asyncio need not complain that nobody looked
        for daemon in self._daemons.values():  # what they started is the lab's to end
            daemon.kill()
        for daemon in self._daemons.values():
            daemon.wait()

    @property
    def machines(self) -> Mapping[str, Machine]:
        """All machines of the lab, by name."""
        return self._lab.machines

    def machine(self, name: str) -> Machine:
        """The machine of a node or of the registry."""
        return self._lab.machines[name]

    def log(self, name: str) -> Path:
        """Where the programs of a machine log."""
        return self._lab.logs / f"{name}.log"

    async def unless_one_dies(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that needs all that runs; RouterError as soon as a daemon or the switch ends."""
        task = asyncio.ensure_future(work)

        def end(_: object) -> None:
            task.cancel()

        self._death.add_done_callback(end)
        try:
            return await task
        except asyncio.CancelledError:
            if self._death.done():
                self._death.result()  # raises what happened
            raise
        finally:
            self._death.remove_done_callback(end)

    async def start_registry(self) -> str:
        """Create the network and run its registry until it answers; returns the CA's fingerprint."""
        init = ["init", "--network", NETWORK, "--client-count", str(self._client_count), "--json"]
        init += [word for host in self._hosts for word in ("--host", str(host))]
        self._fingerprint = json_object(await self._registry_command(*init))["fingerprint"]
        await self.run_registry()
        return self._fingerprint

    async def run_registry(self) -> None:
        """Run the registry of the network that exists, until it answers."""
        argv = [*own("re6st-registry"), "run", "--dir", str(self._registry_dir)]
        self._start_daemon(self._registry, argv, cwd=None)
        await self._registry_answers()

    async def join(self, node: str) -> IPv6Address:
        """Give a node a token and let it enrol; returns the overlay address its certificate states."""
        async with self._enough:
            token = await self._token()
            etc = self._directory(node, "etc")
            # By a version of IP that both have.
            host = self._lab.topology.direct_address(node, self._registry) or self._hosts[0]
            conf = [*own("re6st-conf"), "-d", str(etc), "--registry", _url(host)]
            conf += ["--fingerprint", self._fingerprint, "--token", token]
            await self.machine(node).call(self._on_its_clock(node, conf), cwd=etc, log=self.log(node))
        address = self.addresses[node] = certified_address(etc / "cert.crt")
        self.cns[node] = certified_cn(etc / "cert.crt")
        return address

    async def _token(self) -> str:
        """A token; the first call makes one for each node, as starting the command is what costs."""
        async with self._making_tokens:
            if not self._tokens:
                words = ("token", "add", "--count", str(len(self.nodes)), "--json")
                self._tokens = json_object(await self._registry_command(*words))["tokens"]
            return self._tokens.pop()

    async def form(self, progress: Callable[[str], None]) -> None:
        """Registry, enrolment and daemons of all nodes; ``progress`` is told each thing that is done."""
        progress(f"the registry answers at {self.url}, CA {await self.start_registry()}")

        async def join(node: str) -> None:
            progress(f"{node} is {await self.join(node)}")

        await together(join(node) for node in self.nodes)
        for node in self.nodes:
            self.start(node)
        progress("all daemons started")

    async def revoke(self, node: str) -> None:
        """Revoke the certificate of a node."""
        await self._registry_command("node", "revoke", self.cns[node])

    async def rotate_key(self, after_s: int) -> int:
        """Change the key of Babel's packets, as the operator does; its number."""
        words = ("key", "rotate", "--after", str(after_s), "--json")
        return int(json_object(await self._registry_command(*words))["epoch"])

    def start(self, node: str) -> None:
        """Start the daemon of a node that has joined."""
        self._start_daemon(node, self.daemon_command(node), cwd=self._directory(node, "etc"))

    def daemon_command(self, node: str) -> list[str]:
        """The command line of a node's daemon."""
        argv = [*own("re6stnet"), "@re6stnet.conf"]
        for option, name in (("--run", "run"), ("--state", "state"), ("--log", "log")):
            argv += [option, str(self._directory(node, name))]
        declared = self._lab.topology.node(node)
        wanted = self._client_count if declared.client_count is None else declared.client_count
        argv += ["--port", str(self._port), "--client-count", str(wanted)]
        if set(declared.transports) != set(TRANSPORTS):
            argv += [word for transport in declared.transports for word in ("--transport", transport)]
        return self._on_its_clock(node, [*argv, *declared.options, *self.options.get(node, ())])

    def _on_its_clock(self, node: str, argv: list[str]) -> list[str]:
        """A command, with the wrong clock if the node has one; time that only passes is never wrong."""
        offset_s = self._lab.topology.node(node).clock_offset_s
        return ["faketime", "--exclude-monotonic", "-f", f"{offset_s:+}s", *argv] if offset_s else argv

    def daemon_pid(self, node: str) -> int | None:
        """The process of a node's daemon (or of the registry); None: it does not run."""
        daemon = self._daemons.get(node)
        return None if daemon is None or daemon.poll() is not None else daemon.pid

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the daemon of a node, or the registry, and wait for its end.

        Returns its exit status (negative: signal); RouterError if it does not end in time: then it is killed.
        What its programs started may live on.
        """
        daemon = self._expect_end(name)
        daemon.send_signal(number)
        try:
            return await asyncio.to_thread(daemon.wait, _STOP_WITHIN_S)
        except subprocess.TimeoutExpired as exc:
            daemon.kill()
            await asyncio.to_thread(daemon.wait)
            log = self.log(name)
            late = f"the daemon of {name} did not end within {_STOP_WITHIN_S:g} s of {number.name}"
            raise RouterError(f"{late}, killed: {last_line(log)} (see {log})") from exc

    async def kill_all(self, name: str) -> None:
        """Kill every process of a machine, as when it loses its power."""
        daemon = self._expect_end(name) if name in self._daemons else None
        inode = self.machine(name).path.stat().st_ino
        await asyncio.to_thread(cleanup.kill_inside, {inode})
        if daemon is not None:
            daemon.wait()

    def running(self, name: str) -> bool:
        """Whether a node's daemon, or the registry, was started and not ended."""
        return name in self._daemons

    async def show(self, node: str, *options: str) -> str:
        """What ``re6st status`` says on a node."""
        return await self.ask(node, "status", *options)

    async def ask(self, node: str, *words: str) -> str:
        """What ``re6st`` says on a node; RouterError if it fails."""
        argv = [*own("re6st"), "--run", str(self._directory(node, "run")), *words]
        return await self.machine(node).call(argv, log=self.log(node))

    async def status(self, node: str) -> dict[str, Any]:  # Any: the shape is re6st's (1)
        """What ``re6st status --json`` says on a node."""
        return json_object(await self.show(node, "--json"))

    async def tunnels(self, node: str) -> list[Tunnel]:
        """The tunnels of a node."""
        tunnels = (await self.status(node))["tunnels"]
        return [Tunnel(each["peer"], each["transport"], each["state"]) for each in tunnels]

    def rss_mb(self, node: str) -> float:
        """Resident memory of a node's daemon, in MB (10^6 bytes)."""
        for line in Path(f"/proc/{self._daemons[node].pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RouterError(f"the daemon of {node} is dead")

    @property
    def _registry_dir(self) -> Path:
        return self._directory(self._registry, "registry")

    def _directory(self, name: str, kind: str) -> Path:
        directory = self.machine(name).directory / kind
        directory.mkdir(exist_ok=True)
        return directory

    async def _registry_command(self, *words: str) -> str:
        argv = [*own("re6st-registry"), *words, "--dir", str(self._registry_dir)]
        return await self.machine(self._registry).call(argv, log=self.log(self._registry))

    async def _registry_answers(self) -> None:
        """Wait until the CA certificate can be fetched; nothing tells when, so it is asked for."""
        asking = (self.machine(self._registry), str(self._hosts[0]))
        log = self.log(self._registry)
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                while await http_get(*asking, _READY_PATH) is None:
                    if self.daemon_pid(self._registry) is None:
                        raise RouterError(f"the registry ended: {last_line(log)} (see {log})")
                    await asyncio.sleep(_READY_EVERY_S)
        except TimeoutError as exc:
            raise RouterError(f"the registry does not answer: {last_line(log)} (see {log})") from exc

    def _start_daemon(self, name: str, argv: list[str], cwd: Path | None) -> None:
        self._daemons[name] = self.machine(name).start(argv, log=self.log(name), cwd=cwd)
        self._watch(name, self._daemons[name].pid)

    def _expect_end(self, name: str) -> subprocess.Popen[bytes]:
        """The daemon of this name is about to end, and nobody shall mind."""
        for handle in [handle for handle, watched in self._watches.items() if watched == name]:
            del self._watches[handle]
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
        return self._daemons.pop(name)

    def _watch(self, name: str, pid: int) -> None:
        handle = os.pidfd_open(pid)
        self._watches[handle] = name
        asyncio.get_running_loop().add_reader(handle, self._died, handle)

    def _died(self, handle: int) -> None:
        name = self._watches.pop(handle)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
        if not self._death.done():
            log = self._lab.logs / "switch.log" if name == "the switch" else self.log(name)
            who = name if name == "the switch" else f"the daemon of {name}"
            self._death.set_exception(RouterError(f"{who} ended: {last_line(log)} (see {log})"))


async def together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Do several things at the same time, all of them; the first error is raised and ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as several:
        raise several.exceptions[0] from several


def certified_address(certificate: Path) -> IPv6Address:
    """The overlay address that a node's certificate states."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return next(ip for ip in names.get_values_for_type(x509.IPAddress) if isinstance(ip, IPv6Address))


def certified_cn(certificate: Path) -> str:
    """The name by which other nodes know the holder of a node's certificate."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    (name,) = loaded.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(name.value)


def json_object(text: str) -> dict[str, Any]:  # Any: the shape is what the caller asks of it
    """The JSON object a command printed; RouterError if it is none."""
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise RouterError(f"not JSON: {text[:80]!r}") from exc
    if not isinstance(value, dict):
        raise RouterError(f"not a JSON object: {text[:80]!r}")
    return value


def _url(host: Address) -> str:
    return f"http://[{host}]/" if host.version == 6 else f"http://{host}/"


async def http_get(machine: Machine, address: str, path: str) -> bytes | None:
    """What a GET from that machine is answered with; None unless with status 200."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with machine.socket(family, socket.SOCK_STREAM) as connection:
        try:
            await loop.sock_connect(connection, (address, 80))
            await loop.sock_sendall(connection, f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while piece := await loop.sock_recv(connection, 65536):
                answer += piece
        except OSError:
            return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if b" 200 " in head.partition(b"\r\n")[0] else None
