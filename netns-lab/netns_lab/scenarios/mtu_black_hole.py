r"""A path swallows packets that are larger than it says: what people send gets through all the same.

    a --- MTU 1400 --- b        nothing comes back for what is swallowed
     \                /
      +----- c ------+          MTU 1500, but slow

Expected: of packets of every size 4 of 5 pass between a and b, or are refused before they leave, and a
download of a megabyte ends within 20 s; also a minute after the path has become narrower under the tunnel.
"""

import asyncio
import dataclasses

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import every_tunnel, full_mesh, way_is
from netns_lab.stage.stage import Stage

SIZES = (1000, 1280, 1328, 1420)  # of IPv6 packets: WireGuard adds 60 bytes, so 1328 fits, and 1420 does not
DOWNLOAD_BYTES = 1_000_000
DOWNLOAD_WITHIN_S = 20.0
NOTICED_S = 60.0


async def play(stage: Stage) -> None:
    """Try each size from a to b, then a download."""
    await stage.form()
    stage.flow("a", "b")  # of small packets
    with stage.step("every node has a tunnel to every other, and a sends to b directly"):
        await stage.wait_for(
            full_mesh & every_tunnel(stage.nodes) & way_is("a", "b") & way_is("a", "c"), within_s=60
        )
    with stage.step("packets of several sizes"):
        for size in SIZES:
            stage.figure(f"packets_of_{size}_bytes", await stage.passes("a", "b", size), "of 5", at_least=4)
    with stage.step("a download"):
        took_s = await stage.download("a", "b", DOWNLOAD_BYTES, within_s=DOWNLOAD_WITHIN_S)
    stage.figure("download_of_1_mb", took_s, "s", at_most=DOWNLOAD_WITHIN_S)
    narrow = dataclasses.replace(stage.lab.topology.link("a", "b"), mtu=1370)
    stage.lab.set_link("a", "b", narrow)
    stage.event("the path between a and b becomes narrower: 1370")
    with stage.step("it is found"):
        await asyncio.sleep(NOTICED_S)
    for size in SIZES:
        passed = await stage.passes("a", "b", size)
        stage.figure(f"packets_of_{size}_bytes_later", passed, "of 5", at_least=4)
    whole = dataclasses.replace(stage.lab.topology.link("a", "b"), mtu=1500)
    stage.lab.set_link("a", "b", whole)
    stage.event("the path between a and b takes what it says")
    with stage.step("a download where nothing is swallowed"):
        whole_s = await stage.download("a", "b", DOWNLOAD_BYTES, within_s=DOWNLOAD_WITHIN_S)
    stage.figure("download_over_a_whole_path", whole_s, "s", at_most=DOWNLOAD_WITHIN_S)


SCENARIO = Scenario(
    "a path swallows large packets without a word",
    "mtu_black_hole.toml",
    play,
)
