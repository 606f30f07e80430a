"""Command line of the lab."""

from netns_lab.cli.main import main

__all__ = ["main"]
