"""A signature verifies with its own key and data, and with nothing else."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import CertificateError
from re6st_core.signature import sign, verify
from tests.helpers.core_certificates import NODE_KEY, OTHER_NODE_KEY, CAKey, rsa_key

DATA = b"what was said"


@pytest.mark.parametrize("key", [NODE_KEY, ec.derive_private_key(5, ec.SECP384R1()), rsa_key()])
def test_what_was_signed_verifies_and_a_changed_bit_does_not(key: CAKey) -> None:
    signature = sign(key, DATA)
    verify(key.public_key(), signature, DATA)
    with pytest.raises(CertificateError):
        verify(key.public_key(), signature, DATA + b".")
    with pytest.raises(CertificateError):
        verify(key.public_key(), signature[:-1] + bytes([signature[-1] ^ 1]), DATA)
    with pytest.raises(CertificateError):
        verify(OTHER_NODE_KEY.public_key(), signature, DATA)


@given(st.binary(max_size=300))
def test_no_bytes_pass_as_a_signature(noise: bytes) -> None:
    for key in (NODE_KEY, rsa_key()):
        with pytest.raises(CertificateError):
            verify(key.public_key(), noise, DATA)


def test_a_kind_of_key_that_the_network_does_not_use_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    with pytest.raises(CertificateError, match="Ed25519"):
        sign(key, DATA)
    with pytest.raises(CertificateError, match="Ed25519"):
        verify(key.public_key(), key.sign(DATA), DATA)
