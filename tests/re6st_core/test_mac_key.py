"""Keys of Babel's packets: different in each epoch and network, and nothing else passes for one."""

import pytest

from re6st_core.errors import WireError
from re6st_core.json_wire import encode_json
from re6st_core.mac_key import KeyWanted, decode_key_untrusted, decode_wanted_untrusted, derive_key
from re6st_core.registry_wire import BabelKeyResponse

KEY = derive_key(b"secret", 7)


def test_each_epoch_and_each_network_has_a_key_of_its_own() -> None:
    keys = {derive_key(secret, epoch) for secret in (b"secret", b"another") for epoch in range(1, 100)}
    assert len(keys) == 198
    assert derive_key(b"secret", 7) == KEY
    assert len(KEY) == 32


def test_question_and_answer() -> None:
    assert decode_wanted_untrusted(encode_json(KeyWanted(epoch=7))) == 7
    told = BabelKeyResponse(epoch=7, key=KEY.hex())
    assert decode_key_untrusted(encode_json(told), 7) == KEY
    assert KEY.hex() not in repr(told)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"epoch": 0}', b'{"epoch": -1}', b'{"epoch": 99999999999}', b" " * 2000]
)
def test_garbage_questions(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_wanted_untrusted(data)


@pytest.mark.parametrize("key", ["", "00", "g" * 64, "A" * 64, "0" * 66, KEY.hex() + "\n"])
def test_garbage_answers_and_errors_that_keep_the_secret(key: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_key_untrusted(encode_json(BabelKeyResponse(epoch=7, key=key)), 7)
    assert not key or key not in str(caught.value)
    with pytest.raises(WireError) as caught:
        decode_key_untrusted(b'{"epoch": "' + KEY.hex().encode() + b'"}', 7)
    assert KEY.hex() not in str(caught.value)
    with pytest.raises(WireError):
        decode_key_untrusted(encode_json(BabelKeyResponse(epoch=8, key=KEY.hex())), 7)
