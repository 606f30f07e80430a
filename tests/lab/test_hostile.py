"""A hostile host on the underlay, and a member that misbehaves: honest tunnels go on, nothing grows.

registry   a   b   x      20 ms from each other, all public; x is hostile: with its certificate, or without
"""

import asyncio
import contextlib
import dataclasses
import secrets
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import aiohttp
import pytest
import pytest_asyncio

from netns_lab.echo import Prober
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from re6st_core.address import Endpoint, Protocol
from re6st_core.peer_wire import MAX_MESSAGE, Answer, Close, Message
from re6st_core.stun import MAGIC, REQUEST, BindingRequest, encode_request
from tests.helpers.adversary import GARBAGE, PORT, Member, Stranger, Victim
from tests.helpers.topologies import FLAT, topology
from tests.lab.test_node_life import Traffic

pytestmark = [pytest.mark.root, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

TOPOLOGY = topology("".join(f'[[site]]\nname = "{name}"\n' for name in ("registry", "a", "b", "x")) + FLAT)
GROWTH_MB = 8.0
"""Of a daemon's memory while it is attacked; a leak of 10 kB for each of 1,000 attempts would show."""
FLOOD = 20_000
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""How one begins; it never ends."""


@dataclass(frozen=True, slots=True)
class World:
    """Two honest nodes with a tunnel between them, and the machine of the attacker."""

    mesh: Mesh
    victim: Victim
    stranger: Stranger
    member: Member
    """Of the attacker."""
    neighbour: Member
    """b, the honest one, whose host opens connections too."""

    @contextlib.asynccontextmanager
    async def unharmed(self, *, processes: int = 0) -> AsyncIterator[None]:
        """What happens inside costs a and b no packet, no memory and no file that stays open.

        ``processes``: how many more there may be on the victim's machine afterwards.
        """
        victim = self.victim
        before = victim.descriptors(), victim.processes(), self.mesh.rss_mb(victim.node)
        with Traffic(self.mesh.machine("a"), self.mesh.addresses["b"]) as traffic:
            yield
            await asyncio.sleep(2)  # the story: what an attack breaks may break a little later
            assert traffic.stop() == 0
        after = victim.descriptors(), victim.processes(), self.mesh.rss_mb(victim.node)
        assert after[0] <= before[0] + 20  # connections that are being closed
        assert after[1] <= before[1] + processes
        assert after[2] <= before[2] + GROWTH_MB
        assert victim.complaints() == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    """a and b hold a tunnel; x has joined, but its daemon does not run.  The same for all tests, in order."""
    with Lab(TOPOLOGY) as lab, Mesh(lab, registry="registry", client_count=2) as mesh:
        await mesh.start_registry()
        for node in mesh.nodes:
            await mesh.join(node)
        for node in ("a", "b"):
            mesh.start(node)
        pairs = {("a", "b"): mesh.addresses["b"]}
        async with Prober(mesh.machines, pairs) as prober:
            assert not await prober.until_all_answer(interval_s=0.1, within_s=30, on_answer=lambda *_: None)
        stranger = Stranger(mesh.machine("x"), str(underlay("a")))
        members = (Member(mesh, node, underlay(node)) for node in ("x", "b"))
        yield World(mesh, Victim(mesh, "a", underlay("a")), stranger, *members)


def underlay(node: str) -> IPv4Address:
    """Where a node is on the Internet of the lab."""
    address = TOPOLOGY.address_of(node)
    assert address is not None
    return address


async def test_no_answer_to_a_stranger_is_larger_than_its_question(world: World) -> None:
    questions = {}
    for software in range(-8, 600, 4):  # -8: a bare header
        attribute = struct.pack("!HH", 0x8022, software) + bytes(software) if software >= 0 else b""
        transaction = secrets.token_bytes(12)
        head = struct.pack("!HHI12s", REQUEST, len(attribute), MAGIC, transaction)
        questions[transaction] = head + attribute
    last = encode_request(BindingRequest(secrets.token_bytes(12)))
    answers: list[bytes] = []
    with world.stranger.udp() as sock:
        for question in [*GARBAGE, *questions.values(), last]:
            sock.send(question)
        while not answers or answers[-1][8:20] != last[8:20]:
            async with asyncio.timeout(5):
                answers.append(await asyncio.get_running_loop().sock_recv(sock, 2048))
    assert len(answers) > 10
    assert all(len(answer) <= len(questions.get(answer[8:20], last)) for answer in answers)


async def test_a_flood_on_the_open_port_costs_the_members_nothing(world: World) -> None:
    question = encode_request(BindingRequest(secrets.token_bytes(12)))
    kinds = (*GARBAGE, question)
    async with world.unharmed():
        await world.stranger.flood(kinds[n % len(kinds)] for n in range(FLOOD))


@pytest.mark.parametrize("first", [b"", CLIENT_HELLO], ids=["silent", "TLS"])
async def test_connections_that_a_stranger_leaves_half_open_keep_no_member_out(
    world: World, first: bytes
) -> None:
    async with world.unharmed():
        async with world.stranger.half_open(1000, first), world.neighbour.session() as client:
            status, _ = await world.neighbour.post(client, world.victim, b"{}")
        assert status == 400  # it was let in and heard


async def test_malformed_messages_of_a_member_are_refused_one_by_one(world: World) -> None:
    member, victim = world.member, world.victim
    offer = member.offer(victim.prefix)
    wrong: list[Message] = [
        dataclasses.replace(offer, nonce="x"),
        dataclasses.replace(offer, recipient=member.prefix),
        dataclasses.replace(offer, sender=victim.prefix),
        dataclasses.replace(offer, expires=0),
        dataclasses.replace(offer, expires=2**62),
        dataclasses.replace(offer, mtu=-1),
        dataclasses.replace(offer, public_key="A" * 43 + "="),
        dataclasses.replace(offer, transport="carrier pigeon"),
        dataclasses.replace(offer, endpoints=offer.endpoints * 40),
        Close(sender=member.prefix, recipient=victim.prefix, nonce=offer.nonce, expires=1, reason="r"),
    ]
    broken = [b"", b"{", b"[" * 10_000, b"\xff" * 100, member.signed(offer)[:-10]]
    async with world.unharmed(), member.session() as client:
        for data in [*map(member.signed, wrong), *broken]:
            status, _ = await member.post(client, victim, data)
            assert status == 400
        status, _ = await member.post(client, victim, b" " * (MAX_MESSAGE + 1))
        assert status == 413
    assert {t["peer"] for t in (await world.mesh.status("a"))["tunnels"]} == {world.mesh.cns["b"]}


async def test_an_offer_counts_once_and_only_for_whom_it_was_signed(world: World) -> None:
    member, victim = world.member, world.victim
    other = Victim(world.mesh, "b", victim.underlay)
    data = member.signed(member.offer(victim.prefix))
    async with world.unharmed(processes=1), member.session() as client:
        first = await member.post(client, victim, data)
        again = await member.post(client, victim, data)
        foreign = await member.post(client, victim, member.signed(member.offer(other.prefix)))
    assert not _refusal(member, first)
    assert again[0] in (200, 204, 400)
    assert again[0] != 200 or "seen this offer" in _refusal(member, again)
    assert foreign[0] == 400


def _refusal(member: Member, reply: tuple[int, bytes]) -> str:
    message, _ = member.read(reply[1])
    assert isinstance(message, Answer)
    return message.refusal


async def test_endpoints_that_a_member_invents_take_no_packet_of_others(world: World) -> None:
    member, victim = world.member, world.victim
    claimed = Endpoint(underlay("b"), PORT, Protocol.UDP)
    offer = dataclasses.replace(member.offer(victim.prefix), source=claimed, endpoints=(claimed,))
    async with world.unharmed(processes=1):
        async with member.session() as client:
            reply = await member.post(client, victim, member.signed(offer))
        assert "is not yours" in _refusal(member, reply)


async def test_a_thousand_offers_of_a_member_open_one_tunnel_at_most(world: World) -> None:
    member, victim = world.member, world.victim

    async def one() -> int:
        try:
            status, _ = await member.post(client, victim, member.signed(member.offer(victim.prefix)))
        except aiohttp.ClientError:
            return 0  # one member has only so many connections
        return status

    async with world.unharmed(processes=1):
        async with member.session() as client:
            statuses = []
            for _ in range(125):
                statuses += await asyncio.gather(*(one() for _ in range(8)))
        assert set(statuses) <= {0, 200, 204, 503}
        tunnels = [t for t in (await world.mesh.status("a"))["tunnels"] if t["peer"] == world.mesh.cns["x"]]
        assert len(tunnels) <= 1
