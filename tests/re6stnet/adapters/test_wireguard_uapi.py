"""Questions to wireguard-go are well formed, and any answer is a state or one known error."""

import asyncio
import contextlib
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError, WireError
from re6stnet.adapters.wireguard_key import PrivateKey
from re6stnet.adapters.wireguard_uapi import (
    GET,
    DeviceConfig,
    DeviceState,
    ask,
    decode_answer_untrusted,
    encode_config,
)

KEY = PrivateKey(bytes([1] * 32))
ANSWER = (
    b"private_key=00\nlisten_port=51000\nfwmark=1766\npublic_key=aa\nendpoint=[2001:db8::1]:1194\n"
    b"last_handshake_time_sec=3\nlast_handshake_time_nsec=5\ntx_bytes=7\nrx_bytes=9\nerrno=0\n\n"
)


def test_configuration_has_one_peer_that_may_route_anything() -> None:
    endpoint = Endpoint(ip_address("2001:db8::1"), 1194, Protocol.UDP)
    config = DeviceConfig(
        private_key=KEY, listen_port=51000, mark=7, peer_key=KEY.public, endpoint=endpoint, keepalive_s=25
    )
    text = encode_config(config).decode()
    assert text.startswith(
        f"set=1\nprivate_key={'01' * 32}\nlisten_port=51000\nfwmark=7\nreplace_peers=true\n"
    )
    assert "\nendpoint=[2001:db8::1]:1194\npersistent_keepalive_interval=25\n" in text
    assert text.endswith("allowed_ip=::/0\nallowed_ip=0.0.0.0/0\n\n")
    assert "***" in repr(config)
    assert "01" * 32 not in repr(config)


def test_answer_is_read() -> None:
    endpoint = Endpoint(ip_address("2001:db8::1"), 1194, Protocol.UDP)
    assert decode_answer_untrusted(ANSWER) == DeviceState(51000, 3 * 10**9 + 5, 9, 7, endpoint)


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]"])
def test_where_it_sends_to_is_read(host: str) -> None:
    endpoint = decode_answer_untrusted(f"endpoint={host}:1194\nerrno=0\n\n".encode()).endpoint
    assert endpoint is not None
    assert (str(endpoint.ip), endpoint.port) == (host.strip("[]"), 1194)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"endpoint=nowhere\nerrno=0\n\n",
        b"endpoint=192.0.2.1:99999\nerrno=0\n\n",
        b"errno=-98\n\n",
        b"errno=\n\n",
        b"rx_bytes=x\nerrno=0\n\n",
        b"rx_bytes=" + b"9" * 5000,
        b"noise\n\n",
    ],
)
def test_bad_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(WireError):
        decode_answer_untrusted(answer)


@given(st.binary() | st.lists(st.sampled_from(ANSWER.split(b"\n")) | st.binary(max_size=9)).map(b"\n".join))
def test_any_bytes_are_an_answer_or_the_known_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_answer_untrusted(data)


@pytest.mark.parametrize("answer", [b"errno=-1\n\n", b"cut off", b"a" * 100_000])
async def test_faulty_device_is_an_error_of_the_router(answer: bytes, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "s"):
        with pytest.raises(RouterError):
            await ask(tmp_path / "s", GET)
