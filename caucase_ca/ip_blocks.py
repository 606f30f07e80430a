"""RFC 3779 extension: the block of IPv6 addresses that a certificate's holder may use.

    IPAddrBlocks      SEQUENCE OF IPAddressFamily
    IPAddressFamily   SEQUENCE { addressFamily OCTET STRING (0002: IPv6), SEQUENCE OF addressPrefix }
    addressPrefix     BIT STRING: the prefix's bits and no others (RFC 3779 §2.1.1, §2.2.3)

One prefix always fits the short form of DER lengths (at most 26 bytes in all).
"""

from ipaddress import IPv6Network

from cryptography.x509 import ObjectIdentifier, UnrecognizedExtension

from re6st_core.errors import CertificateError

IP_ADDR_BLOCKS = ObjectIdentifier("1.3.6.1.5.5.7.1.7")
_SEQUENCE, _OCTETS, _BITS = 0x30, 0x04, 0x03
_AFI_IPV6 = b"\x00\x02"


def _tlv(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content


def encode_ip_block(network: IPv6Network) -> bytes:
    """DER of the extension's value for one prefix, in the canonical form that OpenSSL insists on."""
    size = (network.prefixlen + 7) // 8
    unused = 8 * size - network.prefixlen
    prefix = _tlv(_BITS, bytes((unused,)) + network.network_address.packed[:size])
    return _tlv(_SEQUENCE, _tlv(_SEQUENCE, _tlv(_OCTETS, _AFI_IPV6) + _tlv(_SEQUENCE, prefix)))


def ip_block_extension(network: IPv6Network) -> UnrecognizedExtension:
    """The extension, for a certificate builder."""
    return UnrecognizedExtension(IP_ADDR_BLOCKS, encode_ip_block(network))


def decode_ip_block_untrusted(der: bytes) -> IPv6Network:
    """Read the value back; only the one-prefix form that we write.  Raises CertificateError."""
    head = _tlv(_OCTETS, _AFI_IPV6)
    bits = der[6 + len(head) :]  # after three SEQUENCE headers and the family
    if len(bits) < 3 or bits[0] != _BITS or bits[2] > 7 or len(bits) - 3 > 16:
        raise CertificateError("address block is not a single IPv6 prefix")
    length = 8 * (len(bits) - 3) - bits[2]
    if length < 0:
        raise CertificateError("address block has an impossible length")
    try:
        network = IPv6Network((bits[3:].ljust(16, b"\0"), length))
    except ValueError as exc:
        raise CertificateError(f"address block: {exc}") from exc
    if encode_ip_block(network) != der:
        raise CertificateError("address block is not in canonical form")
    return network
