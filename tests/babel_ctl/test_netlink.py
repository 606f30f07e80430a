"""Questions to a real kernel, which answers anybody, and to one that answers badly."""

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from babel_ctl.netlink import Netlink
from re6st_core.netlink_wire import NetlinkMessage, encode_message, text
from tests.helpers.namespace_tests import namespaces

NEW_LINK, GET_LINK = 16, 18
HEADER = struct.Struct("=BxHiII")
LOOPBACK = HEADER.pack(0, 0, 1, 0, 0)


def index_of(payload: bytes) -> int:
    index: int = HEADER.unpack_from(payload)[2]
    return index


def test_a_table_is_read_whole_and_one_entry_by_name() -> None:
    with Netlink() as netlink:
        table = [index_of(payload) for payload in netlink.dump(GET_LINK, HEADER.pack(0, 0, 0, 0, 0))]
        assert sorted(table) == sorted(index for index, _ in socket.if_nameindex())
        question = HEADER.pack(0, 0, 0, 0, 0) + text(3, "lo")
        (answer,) = netlink.get(GET_LINK, question)
        assert index_of(answer) == socket.if_nametoindex("lo")


def test_a_refusal_has_the_kernel_s_errno_and_the_next_question_its_own_answer() -> None:
    with Netlink() as netlink:
        with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
            netlink.do(GET_LINK, HEADER.pack(0, 0, 2**30, 0, 0))
        assert netlink.get(GET_LINK, LOOPBACK)


class Kernel:
    """The other end of a socket that only looks like netlink's."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def says(self, kind: int, payload: bytes, *, sequence: int = 1, flags: int = 0) -> None:
        self.end.send(encode_message(NetlinkMessage(kind, flags, sequence, payload)))


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Netlink, Kernel]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, Netlink() as netlink, monkeypatch.context() as patch:
        patch.setattr(netlink, "_socket", ours)
        yield netlink, Kernel(theirs)


def test_a_dump_that_was_interrupted_is_made_again(pair: tuple[Netlink, Kernel]) -> None:
    netlink, kernel = pair
    kernel.says(NEW_LINK, b"old!", flags=0x10)
    kernel.says(3, bytes(4))
    kernel.says(NEW_LINK, b"new!", sequence=2)
    kernel.says(3, bytes(4), sequence=2)
    assert netlink.dump(GET_LINK, b"") == [b"new!"]


def test_a_table_that_never_stands_still_is_an_error(pair: tuple[Netlink, Kernel]) -> None:
    netlink, kernel = pair
    for sequence in range(1, 11):
        kernel.says(3, bytes(4), sequence=sequence, flags=0x10)
    with pytest.raises(OSError, match="changes faster"):
        netlink.dump(GET_LINK, b"")


def test_the_rest_of_an_earlier_answer_is_skipped(pair: tuple[Netlink, Kernel]) -> None:
    netlink, kernel = pair
    kernel.says(NEW_LINK, b"late", sequence=0)
    kernel.says(2, bytes(4))
    netlink.do(NEW_LINK, b"")


@pytest.mark.parametrize("answer", [b"short", encode_message(NetlinkMessage(2, 0, 1, b"\0"))])
def test_what_is_no_answer_is_an_error_of_the_system(pair: tuple[Netlink, Kernel], answer: bytes) -> None:
    netlink, kernel = pair
    kernel.end.send(answer)
    with pytest.raises(OSError, match="netlink"):
        netlink.do(NEW_LINK, b"")


@pytest.mark.root
def test_news_of_a_group_are_noticed_and_dropped() -> None:
    with namespaces(1) as (namespace,), namespace.entered(), Netlink(groups=1) as netlink:
        netlink.drop_news()  # nothing yet: does not wait
        assert not select.select([netlink], [], [], 0)[0]
        namespace.run("ip tuntap add re6stnews mode tap")
        assert select.select([netlink], [], [], 5)[0]
        netlink.drop_news()
        assert not select.select([netlink], [], [], 0)[0]
