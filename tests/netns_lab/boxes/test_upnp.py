"""UPnP as a client in the LAN sees it (the unmodified upnpc), and as the Internet does."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from netns_lab.boxes import upnp as upnp_module
from netns_lab.boxes.nat_bench import Bench, Host, Place
from netns_lab.boxes.nat_probe import Prober
from netns_lab.boxes.upnp import LIE, start_upnp
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root

PORT = 1194
RIGHT = "right"


@contextmanager
def behind(kind: str, tells: IPv4Address | str | None, log: Path) -> Iterator[Bench]:
    """Two hosts behind a box with UPnP; next to the hosts if there are two boxes."""
    with Bench([Place(kind, hosts=2)]) as bench:
        told = bench.outside(0) if isinstance(tells, str) else tells
        upnp = start_upnp(bench.boxes[0][-1], inside="lan", outside="inet", tells=told, log=log)
        try:
            yield bench
        finally:
            upnp.stop()


def upnpc(host: Host, *arguments: str) -> str:
    """What upnpc prints, also when it fails."""
    done = subprocess.run(
        host.machine.command(["upnpc", *arguments]), capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout + done.stderr


def description(host: Host) -> str:
    """Where the box describes itself, found by SSDP."""
    found = re.search(r"^ desc: (\S+)$", upnpc(host, "-s"), re.MULTILINE)
    assert found
    return found[1]


def map_port(host: Host, url: str) -> str:
    return upnpc(host, "-u", url, "-a", str(host.address), str(PORT), str(PORT), "UDP")


def is_open(bench: Bench, host: Host) -> bool:
    """Whether a packet of a stranger, never seen before, to the outside port arrives at the host."""
    with Prober(bench.server, bench.server_addresses) as prober:
        client = prober.open(host.machine, host.address, PORT)
        prober.ask(client)
        stranger = prober.open(bench.server, bench.server_addresses[1])
        return prober.arrives(stranger, Endpoint(bench.outside(0), PORT, Protocol.UDP), client)


@pytest.mark.parametrize("kind", ["symmetric", "port_restricted", "masquerade"])
def test_a_mapped_port_is_open_to_everybody_until_it_is_unmapped(kind: str, tmp_path: Path) -> None:
    with behind(kind, RIGHT, tmp_path / "log") as bench:
        host, other = bench.hosts[0]
        assert not is_open(bench, host)
        url = description(host)
        said = map_port(host, url)
        assert (
            f"external {bench.outside(0)}:{PORT} UDP is redirected to internal {host.address}:{PORT}" in said
        )
        assert is_open(bench, host)
        assert not is_open(bench, other)
        assert "failed with code 718 (ConflictInMappingEntry)" in map_port(other, url)
        upnpc(host, "-u", url, "-d", str(PORT), "UDP")
        assert not is_open(bench, host)


def test_a_box_that_lies_maps_the_port_but_tells_an_address_that_is_nobodys(tmp_path: Path) -> None:
    with behind("symmetric", LIE, tmp_path / "log") as bench:
        host = bench.hosts[0][0]
        assert f"external {LIE}:{PORT} UDP is redirected to internal" in map_port(host, description(host))
        assert is_open(bench, host)


def test_a_box_behind_a_carriers_nat_says_that_it_is_of_no_use(tmp_path: Path) -> None:
    with behind("carrier_grade", None, tmp_path / "log") as bench:
        host = bench.hosts[0][0]
        url = description(host)
        assert "GetExternalIPAddress failed" in upnpc(host, "-u", url, "-s")
        assert re.search(r"AddPortMapping\(.*\) failed with code", map_port(host, url))
        assert not is_open(bench, host)


def test_a_daemon_that_does_not_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with Bench([Place("port_restricted")]) as bench:
        box, log = bench.boxes[0][0], tmp_path / "log"
        with pytest.raises(RouterError, match=r"^miniupnpd: exit status 1: .*\(see .*log\)$"):
            start_upnp(box, inside="lan", outside="inet9", tells=bench.outside(0), log=log)


def test_a_daemon_that_hangs_does_not_keep_the_lab_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upnp_module, "_END_WITHIN_S", 0.1)
    with Bench([Place("symmetric")]) as bench:
        box, log = bench.boxes[0][0], tmp_path / "log"
        upnp = start_upnp(box, inside="lan", outside="inet", tells=bench.outside(0), log=log)
        upnp._process.send_signal(signal.SIGSTOP)
        upnp.stop()
        assert upnp._process.returncode == -signal.SIGKILL


def test_it_can_be_started_again_with_another_address(tmp_path: Path) -> None:
    with Bench([Place("symmetric")]) as bench:
        box, host = bench.boxes[0][0], bench.hosts[0][0]
        for tells in (LIE, bench.outside(0)):
            upnp = start_upnp(box, inside="lan", outside="inet", tells=tells, log=tmp_path / "log")
            assert f"ExternalIPAddress = {tells}" in upnpc(host, "-u", description(host), "-s")
            upnp.stop()
