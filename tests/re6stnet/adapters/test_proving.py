"""Who answers for a prefix is proved, or named, over real TLS on loopback."""

import contextlib
import random
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from caucase_ca.authority import Authority
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters.peer_api import PeerApi
from re6stnet.adapters.proving import MAX_IMPOSTORS, Proof, Prover
from tests.helpers.node_certificates import NETWORK, authority, load, write_node

A, B, IMPOSTOR = Prefix(16, 1), Prefix(16, 2), Prefix(16, 666)


@dataclass(frozen=True, slots=True)
class Loopback(Network):
    """Every address is that of this host."""

    def address(self, prefix: Prefix) -> IPv6Address:
        return IPv6Address("::1")


def prover(directory: Path, ca: Authority, port: int, reachable: Collection[Prefix] = ()) -> Prover:
    tls = load(write_node(directory, ca, A, 1)).client_context()
    tls.check_hostname = False
    network = Loopback(NETWORK.cidr)
    return Prover(network, tls, reachable=lambda: reachable, rng=random.Random(1), port=port)


@contextlib.asynccontextmanager
async def answering(directory: Path, ca: Authority, who: Prefix) -> AsyncIterator[int]:
    """A node that answers for every address; its port."""
    api = PeerApi(load(write_node(directory, ca, who, who.value)).server_context(), lambda: ())
    yield await api.listen("::1", 0)
    await api.close()


async def test_the_prefix_s_own_node_is_proven(tmp_path: Path) -> None:
    ca = authority()
    async with answering(tmp_path, ca, B) as port:
        proof = await prover(tmp_path, ca, port).prove(B)
    assert proof.proven
    assert proof.rtt_us is not None
    assert 0 < proof.rtt_us < 1e6


async def test_another_member_that_answers_is_named_until_that_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca = authority()
    async with answering(tmp_path, ca, IMPOSTOR) as port:
        one = prover(tmp_path, ca, port)
        for _ in range(2):
            proof = await one.prove(B)
        assert (proof.answered_by, proof.proven) == (IMPOSTOR, False)
        assert caplog.text.count("another node answers for a prefix prefix=2/16 peer=666/16") == 1
        assert one.warnings() == ["666/16 answers for 2/16"]
    async with answering(tmp_path, ca, B) as port:
        one._port = port
        assert (await one.prove(B)).proven
    assert one.warnings() == []


async def test_a_stranger_and_nobody_prove_nothing_and_accuse_nobody(tmp_path: Path) -> None:
    ca = authority()
    (tmp_path / "other").mkdir()
    async with answering(tmp_path / "other", authority(), B) as port:
        one = prover(tmp_path, ca, port)
        proof = await one.prove(B)
    assert proof.answered_by is None
    assert "verify failed" in proof.reason
    proof = await one.prove(B)
    assert (proof.answered_by, proof.rtt_us) == (None, None)
    assert proof.reason
    assert one.warnings() == []


async def test_who_is_remembered_is_bounded(tmp_path: Path) -> None:
    one = prover(tmp_path, authority(), 1)
    for n in range(1000):
        one._note(Proof(Prefix(16, n), IMPOSTOR, 1, ""))
    assert len(one.warnings()) == MAX_IMPOSTORS
