"""The topology of a lab: what it is made of, and the file that says so."""

from pathlib import Path

from netns_lab.topology.model import Node, Service, Site, Topology
from netns_lab.topology.reader import load_topology, parse_topology

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"
"""The topology files that come with the lab."""

__all__ = ["TOPOLOGIES", "Node", "Service", "Site", "Topology", "load_topology", "parse_topology"]
