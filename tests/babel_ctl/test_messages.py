"""Records are made from rows when somebody looks at them."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from babel_ctl._native._reader import ffi
from babel_ctl.codec import Put, decode_record_untrusted
from babel_ctl.connection import pack
from babel_ctl.messages import (
    RECORD,
    BabelState,
    BestRoutes,
    Delta,
    Interface,
    Neighbour,
    Record,
    Records,
    Route,
    Row,
    Xroute,
    record_of,
)

ROUTE = (
    b"add route 55d1 prefix 2001:db8:1::/48 from ::/0 installed yes id 02:00:5e:ff:fe:00:00:01 "
    b"metric 96 refmetric 0 via fe80::2 if t0"
)


def row(line: bytes) -> Row:
    event = decode_record_untrusted(line)
    assert isinstance(event, Put)
    return event.row


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b"add interface t0 up false", Interface("t0", False, None, None)),
        (
            b"add interface t0 up true ipv6 fe80::1 ipv4 192.0.2.1",
            Interface("t0", True, IPv6Address("fe80::1"), IPv4Address("192.0.2.1")),
        ),
        (
            b"add neighbour 55d0 address fe80::2 if t0 reach ff00 ureach 0001 rxcost 16 txcost 17 cost 18",
            Neighbour(0x55D0, IPv6Address("fe80::2"), "t0", 0xFF00, 1, 16, 17, 18, 0, None),
        ),
        (
            b"add neighbour 55d0 address fe80::2 if t0 reach ff00 ureach 0001 "
            b"rxcost 16 txcost 17 rtt 12.345 rttcost 110 cost 126",
            Neighbour(0x55D0, IPv6Address("fe80::2"), "t0", 0xFF00, 1, 16, 17, 126, 110, 12_345),
        ),
        (
            b"add xroute 192.0.2.0/24-0.0.0.0/0 prefix 192.0.2.0/24 from 0.0.0.0/0 metric 0",
            Xroute(IPv4Network("192.0.2.0/24"), IPv4Network("0.0.0.0/0"), 0),
        ),
        (
            ROUTE,
            Route(
                0x55D1, IPv6Network("2001:db8:1::/48"), IPv6Network("::/0"), True, "02:00:5e:ff:fe:00:00:01",
                96, 0, IPv6Address("fe80::2"), "t0",
            ),
        ),
    ],
)  # fmt: skip
def test_each_kind_has_its_typed_record(line: bytes, record: Record) -> None:
    assert record_of(row(line)) == record


def test_the_layout_is_that_of_the_c_reader() -> None:
    assert ffi.sizeof("reader_record") == RECORD.size


def test_records_are_a_sequence() -> None:
    records: Records[Route] = Records(pack([row(ROUTE), row(ROUTE.replace(b"55d1", b"55d2"))]))
    assert [record.id for record in records] == [0x55D1, 0x55D2]
    assert records[-1].id == 0x55D2
    assert records[0:1] == [records[0]]
    with pytest.raises(IndexError):
        records[2]
    assert "55" not in repr(Records())


def test_best_routes_are_a_mapping() -> None:
    best = BestRoutes(pack([row(ROUTE)]))
    assert list(best) == [IPv6Network("2001:db8:1::/48")]
    assert best[IPv6Network("2001:db8:1::/48")].metric == 96
    assert IPv6Network("2001:db8:1::/49") not in best


def test_a_delta_has_each_group_in_its_place() -> None:
    state = BabelState(True, "", None, 1, "")
    counts = [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]
    delta = Delta.unpack(state, pack([row(ROUTE), row(ROUTE.replace(b"55d1", b"55d2"))]), counts)
    assert [route.id for route in delta.routes.changed] == [0x55D1]
    assert [route.id for route in delta.routes.removed] == [0x55D2]
    assert delta
    assert not delta.best
    assert not Delta.unpack(state, b"", [0] * 10)
