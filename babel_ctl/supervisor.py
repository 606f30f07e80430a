"""Keep babeld running, and the kernel's routes right, whoever dies: babeld, this daemon, or both.

start: adopt the babeld that lives with our configuration, else
       +-> unlink the socket -> demote the kernel's routes -> start babeld -> first dump --> RUNNING
       |        (a dead babeld leaves both: with the first the next one refuses to start, with the second
       its |         own additions fail unnoticed)                                                   | |
       v |   settle: wait for convergence -> delete the leftovers -> compare kernel and babeld -> repair
       +--- back-off <---- babeld died: logged <-----------------------------------------------+
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Final

import msgspec

from babel_ctl import babeld_state
from babel_ctl.babeld_state import BabeldState
from babel_ctl.client import COMMAND_TIMEOUT_S, BabelClient
from babel_ctl.config import PLACEHOLDER_INTERFACE, BabeldConfig, InterfaceParameters, key_statement
from babel_ctl.errors import NoAnswerError, RouterError
from babel_ctl.holding import RouteHolder
from babel_ctl.kernel import Differences, KernelRoute, KernelRoutes
from babel_ctl.process import DetachedProcess, listener
from babel_ctl.settling import Settler
from re6st_core.errors import ConfigError, Re6stError

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 10.0
SILENT_S: Final = 10.0
"""A babeld that leaves a command without an answer for so long is broken (stopped, say) and replaced."""
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_LAST_S: Final = 60.0
STABLE_S: Final = 10.0
"""A babeld that ran for so long is restarted at once."""


class Event(Enum):
    """What happened to babeld."""

    STARTED = auto()
    ADOPTED = auto()
    DIED = auto()
    SETTLED = auto()  # converged after a start, no leftover remains, kernel and babeld agree
    REPAIRED = auto()  # kernel and babeld did not agree


@dataclass(frozen=True, slots=True)
class SupervisorEvent:
    """One event, with a text for the operator."""

    event: Event
    text: str


class BabeldSupervisor:
    """One babeld and its client; to be used by one event loop."""

    def __init__(
        self,
        config: BabeldConfig,
        *,
        on_event: Callable[[SupervisorEvent], None] = lambda event: None,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
        silent_s: float = SILENT_S,
    ) -> None:
        self._config = config
        self._command_timeout_s = command_timeout_s
        self._silent_s = silent_s
        self._on_event = on_event
        self._kernel = KernelRoutes(config.network, config.address)
        self.holder = RouteHolder(self._kernel, settled=self._is_settled)
        self._state_path = config.state_file.with_name(config.state_file.name + ".json")
        self._state = BabeldState(router_id="", seqno=0)
        self._process: DetachedProcess | None = None
        self._client: BabelClient | None = None
        self._connected = False
        self._connections = 0
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settler: Settler | None = None
        self._settling: asyncio.Task[None] | None = None
        self._doubting: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()  # one start, restart or interface command at a time

    @property
    def client(self) -> BabelClient:
        """The client; the same one across restarts of babeld.  Raises RouterError before ``start``."""
        if self._client is None:
            raise RouterError("babeld is not started")
        return self._client

    @property
    def pid(self) -> int | None:
        """babeld's process id, None while there is none."""
        return self._process.pid if self._process and self._process.alive else None

    async def start(self) -> None:
        """Adopt or start babeld; return once its first dump is complete.

        Raises ConfigError (babeld missing, state not writable) or RouterError (it does not come up).
        """
        stored = babeld_state.load(self._state_path)
        router_id = self._config.router_id or (stored and stored.router_id)
        self._state = msgspec.structs.replace(
            stored or BabeldState(router_id="", seqno=secrets.randbelow(1 << 16)),
            router_id=router_id or babeld_state.new_router_id(secrets.token_bytes(8)),
        )
        self._client = BabelClient(self._config.control_socket, command_timeout_s=self._command_timeout_s)
        self._client.add_listener(self._changed.set)
        self._client.add_listener(self._follow_connection)
        self._settler = Settler(
            self._kernel,
            self._client,
            hello_interval_s=self._config.hello_interval_s,
            on_repair=lambda text: self._tell(Event.REPAIRED, text, logging.WARNING),
        )
        try:
            self._client.start()
            if await self._adopt():
                for name, parameters in self._config.interfaces:
                    await self.add_interface(name, parameters)
            else:
                interfaces = self._state.interfaces | dict(self._config.interfaces)
                self._state = msgspec.structs.replace(self._state, interfaces=interfaces)
                async with self._lock:
                    await self._launch()
        except BaseException:
            await self.detach()
            raise
        self._spawn_task(self._watch())

    async def add_interface(self, name: str, parameters: InterfaceParameters) -> None:
        """Let babeld speak on an interface, now and after every restart; new parameters replace the old.

        Raises RouterError when babeld refuses or does not answer (NoAnswerError: one that stays silent is
        replaced, and its successor is told), ConfigError on a malformed name.
        """
        parameters.statement(name)
        async with self._lock:
            known = {interface.name for interface in self.client.interfaces()}
            if name in known and self._state.interfaces.get(name) != parameters:
                await self._command(lambda: self.client.flush_interface(name))
                known.discard(name)
            self._save(interfaces=self._state.interfaces | {name: parameters})
            if name not in known:
                await self._command(lambda: self.client.add_interface(name, parameters))

    async def set_key(self, name: str, secret: bytes) -> None:
        """Define a key for interfaces, or change it, now and after every restart of babeld.

        All interfaces with this key use the new one at once, without being flushed.  Raises RouterError as
        ``add_interface`` does, ConfigError.
        """
        key_statement(name, secret)
        async with self._lock:
            self._save(keys=self._state.keys | {name: secret.hex()})
            await self._command(lambda: self.client.set_key(name, secret))

    async def flush_interface(self, name: str) -> None:
        """Make babeld forget an interface, now and after every restart; one it does not have is no error.

        Raises RouterError as ``add_interface`` does.
        """
        async with self._lock:
            self._save(interfaces={k: v for k, v in self._state.interfaces.items() if k != name})
            if any(interface.name == name for interface in self.client.interfaces()):
                await self._command(lambda: self.client.flush_interface(name))

    def _follow_connection(self) -> None:
        """The control connection may end and begin anew while babeld runs on."""
        state = self.client.state
        if self._connected and not state.connected:
            log.warning("no connection to babeld: %s", state.error or "it was closed")
        elif state.connected and state.connections > self._connections:
            self._connections = state.connections
            self._spawn_task(self._agree_on_interfaces())
        self._connected = state.connected

    async def _agree_on_interfaces(self) -> None:
        """Repeat the commands that came while there was no connection."""
        async with self._lock:
            known, wanted = {interface.name for interface in self.client.interfaces()}, self._state.interfaces
            try:
                for name in [name for name in wanted if name not in known]:
                    await self._command(partial(self.client.add_interface, name, wanted[name]))
                for name in known - wanted.keys() - {PLACEHOLDER_INTERFACE}:
                    await self._command(partial(self.client.flush_interface, name))
            except RouterError as exc:
                log.error("babeld's interfaces: %s", exc)

    async def _command(self, command: Callable[[], Awaitable[None]]) -> None:
        """Run a command; if babeld dies under it, the next start does the same from the state."""
        if not self.client.state.connected:
            return
        try:
            await command()
        except NoAnswerError:
            if self._doubting is None or self._doubting.done():
                assert self._process
                self._doubting = self._spawn_task(self._end_unless_it_answers(self._process))
            raise
        except RouterError:
            if self.client.state.connected:
                raise

    async def _end_unless_it_answers(self, process: DetachedProcess) -> None:
        """Kill a babeld that is silent for too long; ``_watch`` starts the next one.

        Not under the lock: whoever has something to tell babeld meanwhile gets an error in time.
        """
        try:
            async with asyncio.timeout(self._silent_s - self._command_timeout_s):
                await self.client.wait_answered()
        except TimeoutError:
            log.error("babeld %d answers no command for %g s and is killed", process.pid, self._silent_s)
            process.send_signal(signal.SIGKILL)

    def _is_settled(self) -> bool:
        return self._settled.is_set() and self._client is not None and self._client.state.connected

    async def wait_settled(self) -> None:
        """Wait until the kernel's routes are babeld's and nothing else."""
        await self._settled.wait()

    async def stop(self) -> None:
        """Stop babeld and remove everything: its routes, leftovers, socket; the state file stays."""
        await self._cancel_tasks()
        if self._process:
            await self._process.stop()
            self._process = None
        if self._client:
            self._client.close()
        self.holder.close()
        self._config.control_socket.unlink(missing_ok=True)
        await self._kernel.delete(await self._kernel.routes())
        self._save(process=None, interfaces={}, keys={})

    async def detach(self) -> None:
        """Let go of babeld, which runs on; the next supervisor adopts it."""
        await self._cancel_tasks()
        if self._process:
            self._process.release()
            self._process = None
        if self._client:
            self._client.close()

    async def _cancel_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            with contextlib.suppress(asyncio.CancelledError, Re6stError):
                await task

    def _spawn_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _save(self, **changes: object) -> None:
        """Change the state; a full disk may cost the next daemon an adoption, but not this one its routes."""
        self._state = msgspec.structs.replace(self._state, **changes)
        try:
            babeld_state.save(self._state_path, self._state)
        except ConfigError as exc:
            log.error("%s", exc)

    def _argv(self) -> tuple[str, ...]:
        return replace(self._config, router_id=self._state.router_id, interfaces=()).argv()

    async def _adopt(self) -> bool:
        """Take over the babeld of a previous daemon if it lives, runs with our configuration and answers."""
        process = self._state.process and DetachedProcess.adopt(self._state.process)
        known = process is not None
        # A daemon that died before it could write down its babeld leaves one that only the socket leads to.
        process = process or listener(self._config.control_socket)
        if not process:
            return False
        self._process = process
        if known and self._state.argv == self._argv():
            try:
                await self.client.wait_connected(START_TIMEOUT_S)
            except RouterError as exc:
                log.warning("babeld %d lives but does not answer: %s", process.pid, exc)
            else:
                self._tell(Event.ADOPTED, f"adopted babeld {process.pid}")
                # The daemon may have died in the middle of the unclean-death work.
                self._start_settling([route for route in await self._kernel.routes() if route.is_leftover])
                return True
        # Killed, not terminated: its routes carry the traffic until the next one's take over.
        await self._kill()
        return False

    async def _kill(self) -> None:
        if self._process and self._process.alive:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def _launch(self) -> None:
        """Start babeld by the rules for an unclean death, which are right after a clean one too."""
        self._settled.clear()
        if self._settling:
            self._settling.cancel()
        self._config.control_socket.unlink(missing_ok=True)
        leftovers = await self._kernel.demote()
        seqno = babeld_state.next_seqno(self._config.state_file, self._state.seqno)
        try:
            babeld_state.replace_file(self._config.state_file, b"%d\n" % seqno)
        except ConfigError as exc:
            log.error("%s", exc)
        argv = self._argv()
        before = self.client.state.connections
        self._process = DetachedProcess.spawn(argv, log=self._config.log_file)
        try:
            self._save(seqno=seqno, process=self._process.ident, argv=argv)
            await self._first_dump(before)
            for name, secret in self._state.keys.items():
                await self.client.set_key(name, bytes.fromhex(secret))
            # Not on the command line: babeld sends a wildcard retraction on each interface it starts with,
            # and all neighbours would drop their routes through us.
            for name, parameters in self._state.interfaces.items():
                await self.client.add_interface(name, parameters)
            await self.client.flush_interface(PLACEHOLDER_INTERFACE)
        except BaseException:
            await self._kill()
            raise
        self._tell(Event.STARTED, f"started babeld {self._process.pid}, {len(leftovers)} routes to take over")
        self._start_settling(leftovers)

    async def _first_dump(self, connections_before: int) -> None:
        """Wait for the new babeld's dump, or raise RouterError when it ends or takes too long."""
        assert self._process is not None
        ended = asyncio.ensure_future(self._process.wait())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not (
                    self.client.state.connected and self.client.state.connections > connections_before
                ):
                    changed = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait((changed, ended), return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                    self._changed.clear()
                    if ended.done():
                        raise RouterError(
                            f"babeld ended at once ({_status(ended.result())}){self._last_log()}"
                        )
        except TimeoutError:
            self._process.send_signal(signal.SIGKILL)
            raise RouterError(
                f"babeld does not answer within {START_TIMEOUT_S:g} s{self._last_log()}"
            ) from None
        finally:
            ended.cancel()

    def _last_log(self) -> str:
        try:
            lines = self._config.log_file.read_bytes()[-500:].decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        last = [line for line in lines if line.strip()]
        return f": {last[-1]}" if last else ""

    async def _watch(self) -> None:
        """Restart babeld whenever it dies, with a back-off when it does so soon."""
        loop = asyncio.get_running_loop()
        backoff_s = 0.0
        while True:
            started = loop.time()
            assert self._process is not None
            status = await self._process.wait()
            if loop.time() - started > STABLE_S:
                backoff_s = 0.0
            self._tell(Event.DIED, f"babeld died ({_status(status)}){self._last_log()}", logging.ERROR)
            while True:
                if backoff_s:
                    log.error("babeld: next start in %g s", backoff_s)
                    await asyncio.sleep(backoff_s)
                backoff_s = min(max(BACKOFF_FIRST_S, backoff_s * 2), BACKOFF_LAST_S)
                try:
                    async with self._lock:
                        await self._launch()
                    break
                except (Re6stError, OSError) as exc:
                    log.error("babeld does not start: %s", exc)
                except Exception:
                    log.exception("babeld does not start")  # a mistake of ours must not end the supervision

    def _start_settling(self, leftovers: list[KernelRoute]) -> None:
        self._settling = self._spawn_task(self._settle(leftovers))

    async def _settle(self, leftovers: list[KernelRoute]) -> None:
        assert self._settler
        await self._settler.settle(leftovers)
        self.holder.hold_again()
        self._tell(Event.SETTLED, f"routes settled, {len(leftovers)} leftovers deleted")
        self._settled.set()

    async def audit(self) -> Differences:
        """Compare the kernel with babeld's table and repair what differs; return what was repaired.

        Raises RouterError.
        """
        if self._settler is None:
            raise RouterError("babeld is not started")
        return await self._settler.audit()

    def _tell(self, event: Event, text: str, level: int = logging.INFO) -> None:
        log.log(level, "%s", text)
        try:
            self._on_event(SupervisorEvent(event, text))
        except Exception:
            log.exception("a listener failed on %s", event)  # babeld is kept running all the same


def _status(status: int | None) -> str:
    if status is None:
        return "exit status unknown"
    return f"signal {-status}" if status < 0 else f"exit status {status}"
