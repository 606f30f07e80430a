"""What all nodes must know, and when its version grows: parameters and revocations."""

from collections.abc import Iterable
from dataclasses import replace

from re6st_core.netparams import NetworkParameters


def next_parameters(
    current: NetworkParameters | None, wanted: NetworkParameters, revoked: Iterable[int]
) -> NetworkParameters:
    """``wanted`` with these revoked serial numbers: as it is now, or with the next version if it changed."""
    version = current.version if current else 1
    same_version = replace(wanted, version=version, revoked=tuple(sorted(revoked)))
    if current is None or same_version == current:
        return same_version
    return replace(same_version, version=version + 1)
