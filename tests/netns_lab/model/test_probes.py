"""Probes of the model tell an engine what the prober would, at about the same time."""

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from netns_lab.model.probes import ANSWERS_AFTER_S, SILENT_AFTER_S
from re6stnet.engine.messages import Event, TunnelAnswers, TunnelSilent


class Watched:
    """A mesh of three, and what the first node is told of its tunnels."""

    def __init__(self) -> None:
        self.mesh = Mesh(seed=3, client_count=2)
        for _ in range(3):
            self.mesh.add()
        self.mesh.run(30)
        self.node, self.one, self.other = self.mesh.nodes
        self.told: list[tuple[float, Event]] = []
        post = self.node.post

        def listen(event: Event) -> None:
            if isinstance(event, TunnelAnswers | TunnelSilent):
                self.told.append((self.mesh.now, event))
            post(event)

        self.node.post = listen  # type: ignore[method-assign]  # it listens

    def unplug(self) -> None:
        """Neither the peers nor the registry can be reached; else silent tunnels would be made anew."""
        self.mesh.underlay.cut({self.mesh.registry.host.site}, {self.node.host.site})
        self.mesh.cut([self.node], [self.one, self.other])

    def tunnel(self, peer: Node) -> str:
        assert self.node.engine is not None
        tunnel = self.node.engine.tunnels.with_peer(peer.prefix)
        assert tunnel is not None
        return tunnel.nonce


def test_a_peer_that_dies_is_silent_half_a_second_later_and_witnessed() -> None:
    watched = Watched()
    began, nonce = watched.mesh.now, watched.tunnel(watched.one)
    watched.one.kill()
    watched.mesh.run(2)
    [(at, event)] = watched.told
    assert event == TunnelSilent(nonce, witnessed=True)
    assert SILENT_AFTER_S[0] < at - began < SILENT_AFTER_S[1] + 1


def test_when_nobody_is_heard_nobody_is_accused_and_all_answer_again() -> None:
    watched = Watched()
    names = {watched.tunnel(peer) for peer in (watched.one, watched.other)}
    watched.unplug()
    watched.mesh.run(2)
    assert {e for _, e in watched.told} == {TunnelSilent(name, witnessed=False) for name in names}
    watched.told.clear()
    watched.mesh.heal()
    watched.mesh.run(ANSWERS_AFTER_S[1] + 1)
    assert {e for _, e in watched.told} == {TunnelAnswers(name) for name in names}


def test_who_stays_silent_when_another_is_heard_is_accused_then() -> None:
    watched = Watched()
    dead = watched.tunnel(watched.one)
    watched.unplug()
    watched.mesh.run(2)
    watched.one.kill()
    watched.mesh.heal()
    watched.mesh.run(2)
    assert watched.told[-1][1] == TunnelSilent(dead, witnessed=True)
    watched.node.probes.forget(dead)
