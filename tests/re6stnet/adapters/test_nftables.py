"""What goes wrong with the packet filter, and how that is said."""

from pathlib import Path

import pytest

from re6st_core.errors import ConfigError, RouterError
from re6stnet.adapters import nftables
from tests.helpers.namespace_tests import namespaces


async def test_missing_nft_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="Debian package nftables"):
        await nftables.load("")


@pytest.mark.root
async def test_of_several_commands_all_or_none_come_into_force() -> None:
    with namespaces(1) as (namespace,):
        with namespace.entered(), pytest.raises(RouterError, match=r"nft: .*No such file"):
            await nftables.load("add table inet a\ndelete table inet b\n")
        assert namespace.run("nft list tables") == ""
