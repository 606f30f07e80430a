"""The bench: every place has its outside address, and nothing of it stays."""

import pytest

from netns_lab import cleanup
from netns_lab.boxes.nat_bench import Bench, Place
from netns_lab.boxes.nat_probe import Prober
from netns_lab.namespace import NETNS_DIR
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root


def test_each_place_comes_from_its_own_outside_address_and_nothing_stays() -> None:
    places = (Place(), Place("symmetric", hosts=2), Place("carrier_grade", hosts=2))
    with Bench(places) as bench, Prober(bench.server, bench.server_addresses) as prober:
        for number, hosts in enumerate(bench.hosts):
            assert len(hosts) == places[number].hosts
            for host in hosts:
                assert prober.ask(prober.open(host.machine, host.address)).ip == bench.outside(number)
        assert [len(boxes) for boxes in bench.boxes] == [0, 1, 2]
    assert not list(NETNS_DIR.glob(f"{bench.record.namespace('')}*"))
    assert bench.record not in cleanup.records()


def test_a_bench_that_cannot_be_built_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RouterError("no nftables here")

    monkeypatch.setattr("netns_lab.boxes.nat_bench.install_nat", refuse)
    bench = Bench([Place("symmetric")])
    with pytest.raises(RouterError, match="no nftables"), bench:
        pass
    assert not list(NETNS_DIR.glob(f"{bench.record.namespace('')}*"))
    assert bench.record not in cleanup.records()
