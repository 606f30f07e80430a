"""What the modules of the command line have in common."""

import argparse
from typing import TYPE_CHECKING

from netns_lab.internet.choice import KINDS

if TYPE_CHECKING:
    # The class is private, but it is what argparse hands out and the only way to name the type.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object


def add_internet(parser: argparse.ArgumentParser) -> None:
    """The option of commands that build a lab."""
    parser.add_argument(
        "--internet", choices=KINDS, help="what carries the packets (default: netem if the kernel has it)"
    )
