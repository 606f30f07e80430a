"""What ``re6st why`` makes of what a user types, and of what Babel knows."""

import random
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any, cast

import pytest

from babel_ctl.messages import Route
from re6st_core.errors import ConfigError
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.proving import Proof, Prover
from re6stnet.adapters.routing import BabelRouting
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import Started, TunnelRecord
from re6stnet.explanation import Explainer, destination
from re6stnet.node import Events, Node
from tests.helpers.node_certificates import NETWORK
from tests.helpers.node_fakes import FakeExplorer, FakeMessenger, FakeTunnels

OWN, PEER, FAR = (Prefix(16, n) for n in (1, 2, 3))
ONE, TWO = "1" * 32, "2" * 32


class FakeProver:
    """Everybody answers for itself."""

    async def prove(self, prefix: Prefix) -> Proof:
        return Proof(prefix, prefix, 12345, "")


@pytest.fixture
def explainer() -> Explainer:
    nothing: Any = None
    engine = Engine(OWN, NetworkParameters(version=1), rng=random.Random(1), new_nonce=lambda: "0" * 32)
    engine.handle(Started((TunnelRecord(ONE, PEER, True, "wireguard", 1420),)), now=0.0)
    node = Node(
        engine,
        Events(),
        tunnels=FakeTunnels(),
        messenger=FakeMessenger(),
        explorer=FakeExplorer(),
        keep_relay=nothing,
        bootstrap=nothing,
    )
    routing = BabelRouting(NETWORK, lambda _event: None)
    route = Route(1, NETWORK.subnet(FAR), NETWORK.cidr, True, "02", 100, 5, IPv6Address("fe80::2"), "re6st1")
    routing.routes[FAR, ONE] = route
    routing.routes[FAR, TWO] = replace(route, installed=False, metric=50, interface="re6st2")
    return Explainer(own=OWN, network=NETWORK, node=node, routing=routing, prover=cast(Prover, FakeProver()))


@pytest.mark.parametrize("about", ["3/16", "2001:db8:42:3::/64", "2001:db8:42:3::1", "2001:db8:42:3:9::7"])
async def test_however_a_destination_is_written(explainer: Explainer, about: str) -> None:
    why = await explainer.why(about)
    assert (why.prefix, why.address) == ("3/16", "2001:db8:42:3::1")
    assert [(r.peer, r.metric, r.installed) for r in why.routes] == [("2/16", 100, True), ("", 50, False)]
    assert (why.rtt_ms, why.answered_by, why.proven) == (12.345, "3/16", True)


async def test_without_a_route_and_for_the_node_itself_nobody_is_asked(explainer: Explainer) -> None:
    why = await explainer.why("2001:db8:42:9::1")
    assert (why.routes, why.proven, why.reason) == ((), False, "Babel has no route")
    assert (await explainer.why("2001:db8:42:1::5")).reason == "this is the node itself"


@pytest.mark.parametrize(
    "text", ["", "x", "3", "3/", "-1/16", "1/200", "2001:db8:43::1", "::/0", "10.0.0.1", "2001:db8:42::1/64"]
)
def test_what_is_no_destination_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a prefix"):
        destination(text, NETWORK)
