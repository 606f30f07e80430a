"""Hypothesis strategies for the values of ``re6st_core``."""

import ipaddress
from ipaddress import IPv6Network

from hypothesis import strategies as st

from re6st_core.address import MAX_ENDPOINTS, Endpoint, Protocol
from re6st_core.prefix import Network, Prefix


def _usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.is_multicast or address.is_unspecified:
        return False
    return isinstance(address, ipaddress.IPv4Address) or not (address.is_link_local or address.ipv4_mapped)


def prefixes(max_length: int = 128) -> st.SearchStrategy[Prefix]:
    """Any prefix of at most ``max_length`` bits."""
    return st.integers(0, max_length).flatmap(
        lambda length: st.integers(0, (1 << length) - 1).map(lambda value: Prefix(length, value))
    )


def networks() -> st.SearchStrategy[Network]:
    """Any network of 1 to 127 bits."""
    return st.integers(1, 127).flatmap(
        lambda length: st.integers(0, (1 << length) - 1).map(
            lambda value: Network(IPv6Network((value << (128 - length), length)))
        )
    )


def endpoints() -> st.SearchStrategy[Endpoint]:
    """Any endpoint that packets could be sent to."""
    return st.builds(
        Endpoint,
        st.ip_addresses().filter(_usable),
        st.integers(1, 65535),
        st.sampled_from(Protocol),
        st.none() | st.from_regex("[A-Z]{2}", fullmatch=True),
    )


def endpoint_lists() -> st.SearchStrategy[tuple[Endpoint, ...]]:
    """As many endpoints as a message may carry."""
    return st.lists(endpoints(), max_size=MAX_ENDPOINTS).map(tuple)
