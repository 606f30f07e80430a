"""Fixtures for tests that need an Internet of their own: a plug-in of pytest.

::

    @pytest.mark.topology("two_sites.toml")          # beside the test module, or one that comes with the lab
    async def test_it(mesh):                         # registry and nodes run; all is removed afterwards
        await mesh.machine("a").call(["ping", "-c", "1", str(mesh.addresses["b"])], log=mesh.log("a"))

``topology``  the topology of the marker (or of a fixture of this name that the test's project defines)
``lab``       its machines and their Internet, built
``mesh``      the lab with a registry and nodes that have joined and run (an async fixture: pytest-asyncio)

Without the privileges or programs a lab needs the test is skipped, and says so.  Files and logs of a lab stay
when its test failed; the report of the failure names their directory.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from netns_lab import programs
from netns_lab.lab import Lab, packages
from netns_lab.topology import TOPOLOGIES, Topology, load_topology
from re6st_core.errors import ConfigError

_FAILED = pytest.StashKey[bool]()

# Without pytest-asyncio everything but the fixture that needs it is there.
pytest_plugins = ("netns_lab.pytest_mesh",) if find_spec("pytest_asyncio") else ()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "topology(file): the topology of the lab that the test gets")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember for the fixtures' end whether the test failed."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # what a wrapper yields is the hook's result
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report  # type: ignore[return-value]  # and what it returns replaces it


@pytest.fixture
def topology(request: pytest.FixtureRequest) -> Topology:
    """The topology that the test's marker names."""
    marker = request.node.get_closest_marker("topology")
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError(f"{request.node.nodeid}: needs @pytest.mark.topology(FILE)")
    file = request.path.parent / marker.args[0]
    return load_topology(file if file.exists() else TOPOLOGIES / Path(marker.args[0]).name)


@pytest.fixture
def lab(request: pytest.FixtureRequest, topology: Topology) -> Iterator[Lab]:
    """The machines of the topology, and their Internet."""
    require(packages(topology))
    with Lab(topology, label=request.node.name) as lab:
        yield lab
        if request.node.stash.get(_FAILED, False):
            lab.keep_files = True
            request.node.add_report_section("teardown", "lab", f"files and logs of the lab: {lab.directory}")


def require(needed: dict[str, str]) -> None:
    """Skip the test if a program or a privilege is missing."""
    try:
        programs.require(needed)
    except ConfigError as exc:
        pytest.skip("; ".join(exc.problems))
