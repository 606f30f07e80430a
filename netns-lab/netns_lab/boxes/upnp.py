"""UPnP on a NAT box: the real miniupnpd, whose rules are joined to the box's by chains of their own.

miniupnpd refuses to forward ports when its outside address is not a public one, and for it addresses for
documentation are not.  It would believe a STUN server: so one that runs on the box for the moment of the
start tells it the address that it is to tell its clients, the right one or, for a box that lies, another.
Where the box has a carrier's NAT outside, nothing is told, and miniupnpd sees by itself that it can't help.
"""

import select
import socket
import subprocess
import time
import uuid
from ipaddress import IPv4Address
from pathlib import Path

from netns_lab.namespace import Machine, last_line
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError
from re6st_core.stun import MAX_MESSAGE, BindingSuccess, encode_success

PACKAGES = {"miniupnpd": "miniupnpd-nftables"}
"""Program -> Debian package, for ``programs.require``."""
LIE = IPv4Address("192.0.2.66")
"""What a box that lies tells as its outside address: nobody's in any lab."""

_HTTP_PORT = 5000
_START_WITHIN_S = 10.0
_END_WITHIN_S = 1.0
_READY = b"Listening for NAT-PMP/PCP traffic"  # the last that it opens

# Before the box's own NAT: a port that is mapped for all is so whoever else has it.  The forward chain of the
# box accepts what is translated.
_CHAINS = """
table inet upnp {
    chain mapped { }
    chain mapped_out { }
    chain opened { }
    chain arriving { type nat hook prerouting priority dstnat - 1; jump mapped; }
    chain leaving { type nat hook postrouting priority srcnat - 1; jump mapped_out; }
    chain forward { type filter hook forward priority filter - 1; jump opened; }
}
"""
_CONFIGURATION = """
ext_ifname={outside}
listening_ip={inside}
http_port={http_port}
uuid={uuid}
enable_upnp=yes
enable_natpmp=yes
secure_mode=yes
ipv6_disable=yes
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=opened
upnp_nat_chain=mapped
upnp_nat_postrouting_chain=mapped_out
"""
_BELIEVE_STUN = """
ext_perform_stun=yes
ext_stun_host={host}
ext_stun_port={port}
"""


class Upnp:
    """A running miniupnpd."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def stop(self) -> None:
        """End it, with the port maps unless it hangs; harmless when the clean-up has killed it already."""
        self._process.terminate()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_upnp(box: Machine, *, inside: str, outside: str, tells: IPv4Address | None, log: Path) -> Upnp:
    """Offer UPnP and NAT-PMP on a NAT box's inside; returns when it answers.

    ``tells``: the outside address that clients are told, or None: what it finds on the interface itself, with
    which it refuses to map anything if that is a carrier's.  Raises RouterError when it does not start.
    """
    box.nft(_CHAINS)
    text = _CONFIGURATION.format(
        inside=inside,
        outside=outside,
        http_port=_HTTP_PORT,
        uuid=uuid.uuid5(uuid.NAMESPACE_DNS, box.namespace),
    )
    logged = log.stat().st_size if log.exists() else 0
    with box.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        stun.bind(("127.0.0.1", 0))
        if tells is not None:
            host, port = stun.getsockname()
            text += _BELIEVE_STUN.format(host=host, port=port)
        configuration = box.directory / "miniupnpd.conf"
        configuration.write_text(text)
        # -d: stay in the foreground, log to the standard error.
        argv = ["miniupnpd", "-d", "-f", str(configuration), "-P", str(box.directory / "miniupnpd.pid")]
        process = box.start(argv, log=log)
        deadline = time.monotonic() + _START_WITHIN_S
        while _READY not in log.read_bytes()[logged:]:
            if process.poll() is not None:
                raise RouterError(
                    f"miniupnpd: exit status {process.returncode}: {last_line(log)} (see {log})"
                )
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RouterError(f"miniupnpd is not ready within {_START_WITHIN_S:g} s (see {log})")
            if select.select([stun], [], [], 0.02)[0]:
                _answer(stun, tells)
    return Upnp(process)


def _answer(stun: socket.socket, tells: IPv4Address | None) -> None:
    """Tell miniupnpd, whatever it asks for, that it is seen with this address, and with its own port."""
    data, source = stun.recvfrom(MAX_MESSAGE)
    if tells is not None:
        mapped = Endpoint(tells, source[1], Protocol.UDP)
        stun.sendto(encode_success(BindingSuccess(data[8:20], mapped)), source)
