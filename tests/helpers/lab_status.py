"""Waiting for what the real daemons of a lab say and do."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from netns_lab.echo import Prober
from netns_lab.mesh import Mesh
from re6st_core.errors import RouterError


async def everybody_answers(mesh: Mesh, within_s: float = 30.0) -> None:
    """Every pair of nodes, over the overlay."""
    pairs = {(a, b): mesh.addresses[b] for a in mesh.nodes for b in mesh.nodes if a != b}
    async with Prober(mesh.machines, pairs) as prober:
        asking = prober.until_all_answer(interval_s=0.1, within_s=within_s, on_answer=lambda *_: None)
        missing = await mesh.unless_one_dies(asking)
    assert not missing


async def until(
    mesh: Mesh, node: str, true: Callable[[dict[str, Any]], bool], within_s: float = 30.0
) -> None:
    """Wait until the status of a node is as wanted."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(RouterError):  # it does not listen yet
                if true(await mesh.status(node)):
                    return
            await asyncio.sleep(0.1)
