"""The ``mesh`` fixture of :mod:`netns_lab.pytest_plugin`, for projects that have pytest-asyncio."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from netns_lab import programs
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.pytest_plugin import require


@pytest_asyncio.fixture
async def mesh(request: pytest.FixtureRequest, lab: Lab) -> AsyncIterator[Mesh]:
    """A registry and nodes that have joined; their daemons run."""
    require(programs.MESH_PACKAGES)
    registry = lab.topology.registry
    if registry is None:
        raise pytest.UsageError(f"{request.node.nodeid}: no node of {lab.topology.name} hosts the registry")
    with Mesh(lab, registry=registry) as mesh:
        await mesh.unless_one_dies(mesh.form(lambda _: None))
        yield mesh
