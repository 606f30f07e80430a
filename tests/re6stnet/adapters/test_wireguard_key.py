"""Keys agree with WireGuard's own tool, stay hidden, and give both ends the same addresses."""

import base64
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6stnet.adapters.wireguard_key import PrivateKey, link_local


@pytest.mark.root
def test_public_key_is_the_one_that_wg_computes() -> None:
    key = PrivateKey.generate()
    secret = base64.b64encode(key.reveal()).decode()
    shown = subprocess.run(["wg", "pubkey"], input=secret, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == key.public


def test_secret_is_not_in_any_text_form() -> None:
    key = PrivateKey(bytes(range(32)))
    assert {repr(key), str(key), f"{key}"} == {"PrivateKey(***)"}


def test_key_of_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PrivateKey(b"short")


@given(st.binary(min_size=32, max_size=32))
def test_link_local_address_depends_on_the_key_alone(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    assert link_local(text).is_link_local
    assert link_local(text) == link_local(text)


def test_link_local_address_never_changes_between_versions() -> None:
    assert str(link_local(base64.b64encode(bytes(32)).decode())) == "fe80::7f9e:4d67:8d09:2354"
