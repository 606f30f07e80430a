"""What two nodes tell each other of the network parameters survives the way, and nothing else does."""

import pytest

from re6st_core.errors import WireError
from re6st_core.netparams import MAX_VERSION, SignedParameters
from re6st_core.spread_wire import MAX_TOLD, Told, decode_told_untrusted, encode_told


@pytest.mark.parametrize("signed", [None, SignedParameters("Ym9keQ==", "c2ln")])
def test_both_ways(signed: SignedParameters | None) -> None:
    told = Told(version=7, signed=signed)
    assert decode_told_untrusted(encode_told(told)) == told


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b'{"version": 0}', b'{"version": -1}', b'{"version": 1.5}', b'{"version": "1"}',
        b'{"version": %d}' % (MAX_VERSION + 1), b'{"version": 1, "signed": 7}', b" " * (MAX_TOLD + 1),
    ],
)  # fmt: skip
def test_garbage_is_one_known_error(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_told_untrusted(data)
