"""Keys agree with WireGuard's own tool, stay hidden."""

import base64
import subprocess

import pytest

from re6stnet.adapters.wireguard_key import PrivateKey


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
