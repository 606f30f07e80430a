"""Probes of the underlay and questions for distances, as the node's explorer sends them."""

from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from netns_lab.model.nat import Address
from netns_lab.model.ways import OverlayWay
from re6st_core.distance_wire import DistanceAnswer, DistanceQuestion, encode_answer, question_size
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import AskDistances, DistancesTold, Probe, Probed

if TYPE_CHECKING:
    from netns_lab.model.node import Node

PATIENCE_S = 2.0
"""How long answers are waited for."""


class Explorer:
    """One node's."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._mesh = node.mesh

    def probe(self, command: Probe) -> None:
        """Ask each reflector; what has answered in time is told."""
        found: dict[Prefix, int | None] = {peer: None for peer, _ in command.targets}

        def done(peer: Prefix, mapped: Address | None, rtt_s: float) -> None:
            if mapped is not None:
                found[peer] = max(1, round(rtt_s * 1e6))

        for peer, endpoint in command.targets:
            assert isinstance(endpoint.ip, IPv4Address), "the model's Internet has no IPv6"
            self._node.udp.ask((int(endpoint.ip), endpoint.port), partial(done, peer))
        self._node.later(PATIENCE_S, lambda: self._node.post(Probed(tuple(found.items()))))

    def ask(self, command: AskDistances) -> None:
        """Ask each peer over the overlay; what has been answered in time is told."""
        told: list[tuple[Prefix, DistanceAnswer]] = []
        question = DistanceQuestion(bytes(8), command.tags)
        size = question_size(len(command.tags))
        for prefix in command.peers:
            peer = self._mesh.by_prefix.get(prefix)
            if peer is None:
                continue
            way = OverlayWay(self._mesh, self._node, peer)
            way.count(size, back=False)
            delay_s = way.one_way_s()
            if delay_s is not None:
                self._node.later(delay_s, partial(self._arrives, peer, question, way, told))
        self._node.later(PATIENCE_S, lambda: self._node.post(DistancesTold(tuple(told))))

    def _arrives(
        self,
        peer: "Node",
        question: DistanceQuestion,
        way: OverlayWay,
        told: list[tuple[Prefix, DistanceAnswer]],
    ) -> None:
        delay_s = way.one_way_s()
        if peer.engine is None or delay_s is None:
            return
        answer = peer.engine.distances.answer(question, self._node.prefix)
        way.count(len(encode_answer(answer, question_size(len(question.tags)))), back=True)
        self._node.later(delay_s, lambda: told.append((peer.prefix, answer)))
