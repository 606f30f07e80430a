"""Bytes are counted at the node that sends them, until the round is closed."""

from netns_lab.simulate.ledger import Ledger, Sent
from netns_lab.simulate.traffic import Exchange


def test_each_end_pays_for_what_it_sends() -> None:
    ledger = Ledger(2)
    ledger.add(Exchange("open", 100, 60), 0, 1)
    ledger.add(Exchange("bootstrap", 40, 999), 1)
    assert ledger.close() == Sent(100.0, 100, {"bootstrap": 20.0, "open": 80.0})
    assert ledger.close() == Sent(0.0, 0, {})
