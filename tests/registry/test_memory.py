"""Connections are cheap."""

from asyncio import sslproto

import pytest

from registry.memory import BUFFER, keep_small

TLS_RECORD = 16 * 1024 + 256 + 5
"""RFC 8446 §5.2, with the header."""


def test_the_buffers_of_tls_get_smaller_but_hold_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)
    keep_small()
    assert TLS_RECORD < sslproto.SSLProtocol.max_size == BUFFER < 256 * 1024
