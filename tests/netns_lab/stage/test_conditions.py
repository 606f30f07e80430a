"""Conditions say what they miss, in names, and combine."""

import asyncio
from ipaddress import ip_address
from typing import Any, cast

import pytest

from netns_lab.mesh import Mesh
from netns_lab.stage.conditions import (
    Condition,
    Scene,
    announces,
    direct_tunnels,
    every_tunnel,
    in_few_words,
    no_route_through,
    relayed,
    tunnels_of,
)
from re6st_core.errors import RouterError


class FakeMesh:
    """Only names."""

    cns = {"a": "0/16", "b": "1/16", "c": "2/16"}


class FakeScene:
    """Nodes whose status is given; None: they do not answer."""

    def __init__(self, statuses: dict[str, dict[str, Any] | None], way: tuple[str, ...] = ()) -> None:
        self._statuses = statuses
        self._way = way

    @property
    def mesh(self) -> Mesh:
        return cast(Mesh, FakeMesh())

    @property
    def living(self) -> list[str]:
        return sorted(self._statuses)

    async def status(self, node: str) -> dict[str, Any]:
        status = self._statuses[node]
        if status is None:
            raise RouterError("nobody listens")
        return status

    async def way(self, a: str, b: str) -> tuple[str, ...]:
        return self._way


def status(*tunnels: tuple[str, str, str], via: str | None = None) -> dict[str, Any]:
    """Tunnels as (CN, transport, state), and an installed route by a CN."""
    routes = [{"destination": "2001:db8::/64", "peer": via, "installed": True}] if via else []
    return {"tunnels": [dict(zip(("peer", "transport", "state"), t, strict=True)) for t in tunnels]} | {
        "routes": routes
    }


def look(condition: Condition, scene: FakeScene) -> list[str]:
    checked: Scene = scene
    return asyncio.run(condition.missing(checked))


AB = status(("1/16", "wireguard", "active"), ("2/16", "openvpn", "connecting"))


def test_tunnels_are_named_by_node_and_only_active_ones_count() -> None:
    scene = FakeScene({"a": AB})
    assert look(tunnels_of("a", to=["b"], at_least=1, transports=["wireguard"]), scene) == []
    assert look(tunnels_of("a", to=["b", "c"]), scene) == ["a: no tunnel to c"]
    assert look(tunnels_of("a", at_least=2), scene) == ["a: 1 tunnels, to b"]
    assert look(tunnels_of("a", transports=["openvpn"]), scene) == ["a: a tunnel to b by wireguard"]


def test_a_tunnel_that_must_not_be_may_not_even_be_tried() -> None:
    assert look(tunnels_of("a", never_to=["c"]), FakeScene({"a": AB})) == ["a: still a tunnel to c"]


def test_a_node_that_does_not_answer_misses_everything() -> None:
    assert look(tunnels_of("a"), FakeScene({"a": None})) == ["a: no status"]
    assert look(no_route_through("c"), FakeScene({"a": None, "c": None})) == ["a: no status"]


def test_only_installed_routes_lead_through_a_node() -> None:
    scene = FakeScene({"a": status(via="2/16"), "b": status(), "c": status()})
    assert look(no_route_through("c"), scene) == ["a: 2001:db8::/64 via c"]
    scene._statuses["a"]["routes"][0]["installed"] = False  # type: ignore[index] # it is not None
    assert look(no_route_through("c"), scene) == []


@pytest.mark.parametrize(("way", "missing"), [(("a", "c", "b"), []), (("a", "b"), ["the way is a b"])])
def test_a_way_has_a_number_of_relays(way: tuple[str, ...], missing: list[str]) -> None:
    assert look(relayed("a", "b", by=1), FakeScene({}, way)) == missing


def test_no_way_is_not_a_way_of_no_relays() -> None:
    assert look(relayed("a", "b", by=0), FakeScene({})) == ["no whole way from a to b"]


def test_together_they_miss_what_each_misses() -> None:
    both = tunnels_of("a", to=["c"]) & relayed("a", "b", by=0)
    assert str(both) == "tunnels of a: to c and a reaches b by 0 relays"
    assert look(both, FakeScene({"a": AB}, ("a", "c", "b"))) == ["a: no tunnel to c", "the way is a c b"]
    missing = look(every_tunnel(["a", "b"]), FakeScene({"a": AB, "b": status()}))
    assert missing == ["b: no tunnel to a"]


def test_direct_is_a_tunnel_by_udp_that_either_end_has() -> None:
    scene = FakeScene({"a": AB, "b": status(), "c": None})
    assert look(direct_tunnels([("b", "a")]), scene) == []
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    assert look(direct_tunnels(pairs), scene) == ["no direct tunnel a-c", "no direct tunnel b-c"]
    scene = FakeScene({"a": status(("2/16", "openvpn", "active")), "c": status()})
    assert look(direct_tunnels([("a", "c")]), scene) == ["no direct tunnel a-c"]


def test_an_address_is_announced_as_a_whole_or_not() -> None:
    said = {"daemon": {"endpoints": ["203.0.113.20,1194,udp", "2001:db8::1,1194,tcp6"]}}
    scene = FakeScene({"a": said, "b": None, "c": {"daemon": {"endpoints": []}}})
    for address in ("203.0.113.20", "2001:db8::1"):
        assert look(announces("a", ip_address(address)), scene) == []
    part = announces("a", ip_address("203.0.113.2"))
    assert look(part, scene) == ["a announces 203.0.113.20,1194,udp; 2001:db8::1,1194,tcp6"]
    for silent in ("b", "c"):
        assert look(announces(silent, ip_address("203.0.113.2")), scene) == [f"{silent} announces nothing"]


def test_hundreds_of_pairs_are_told_in_few_words() -> None:
    assert in_few_words(["a", "b"]) == "a; b"
    assert in_few_words([str(i) for i in range(100)]).endswith("7 and 92 more")
