"""``re6st-registry``: make, run and look after the registry of a network."""

from registry.cli.main import main

__all__ = ["main"]
