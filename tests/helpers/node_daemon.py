"""The real ``re6stnet`` in a namespace, without a registry: it starts with parameters that it has cached."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from caucase_ca.authority import Authority
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.store import SqliteStore
from tests.helpers.namespace_tests import TestNamespace
from tests.helpers.node_certificates import authority, write_node

TRACES = {
    "links": "ip -o link show up",
    "addresses": "ip -o addr",
    "routes": "ip -6 route show table all",
    "rules": "ip -6 rule",
    "filters": "nft list ruleset",
    "sockets": "ss -Hlntu",
    "forwarding": "cat /proc/sys/net/ipv6/conf/all/forwarding",
}


@dataclass
class Process:
    """A running daemon."""

    popen: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def until(self, text: str) -> str:
        """Read what it says until a line has ``text``; that line."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}:\n{''.join(self.said)}")

    def ends(self) -> int:
        """Wait for its end; the exit status."""
        stderr: IO[str] | None = self.popen.stderr
        assert stderr is not None
        self.said += stderr.readlines()
        return self.popen.wait(30)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self.ends()

    @property
    def errors(self) -> list[str]:
        """The lines for the operator, without the log."""
        return [line.rstrip() for line in self.said if line.startswith(("re6stnet: ", "Traceback"))]


@dataclass
class Host:
    """A machine with the files of one node."""

    namespace: TestNamespace
    directory: Path
    ca: Authority = field(default_factory=authority)
    options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = write_node(self.directory, self.ca, Prefix(16, 1))
        self.state = self.directory / "state"

    def cache_parameters(self) -> None:
        """As a daemon that had once reached the registry."""
        signed = sign_parameters(NetworkParameters(version=3, hello_s=0.2), self.ca.key)
        with closing(SqliteStore(self.state)) as store:
            store.save_value("parameters", encode_json(signed))

    @contextmanager
    def daemon(self, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
        """Run ``re6stnet``; killed at the end if it still runs."""
        here = {name: self.directory / name for name in ("log", "run", "state")}
        argv = [
            *("/sbin/ip", "netns", "exec", self.namespace.name, sys.executable, "-m", "re6stnet.cli.daemon"),
            *("--registry", "http://127.0.0.1:9/", "--ca", str(self.node / "ca.crt")),
            *("--cert", str(self.node / "cert.crt"), "--key", str(self.node / "cert.key")),
            *(word for name, path in here.items() for word in (f"--{name}", str(path))),
            *options,
        ]
        with subprocess.Popen(
            argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        ) as popen:
            try:
                yield Process(popen)
            finally:
                popen.kill()

    def traces(self) -> dict[str, str]:
        """What a node changes in its machine."""
        found = {name: self.namespace.run(command) for name, command in TRACES.items()}
        pids = subprocess.run(
            ["ip", "netns", "pids", self.namespace.name], capture_output=True, text=True, check=True
        )
        return {**found, "processes": pids.stdout}
