"""The node's end of the relay; both ends together are in http/test_relay.py."""

from pathlib import Path

import pytest

from re6st_core.errors import RegistryError
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import MAX_RELAYED, RELAY, RelayFrame
from registry.errors import UnreachableError
from registry.relay_channel import RelayConnector
from tests.helpers.registry import served


async def test_one_connector_connects_again_and_again(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        connector = RelayConnector(registry.https + RELAY, node.client._tls, None)
        for number in range(3):
            async with connector.connected() as channel:
                await channel.send(RelayFrame(peer=Prefix(16, 99), message=str(number)))
                assert (await channel.receive()).error == "not on the relay"
        with pytest.raises(UnreachableError, match="closed"):
            await channel.send(RelayFrame(peer=Prefix(16, 99), message="late"))
        await connector.close()


async def test_a_frame_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay() as channel:
        with pytest.raises(RegistryError, match="too long"):
            await channel.send(RelayFrame(peer=Prefix(16, 99), message="x" * MAX_RELAYED))
