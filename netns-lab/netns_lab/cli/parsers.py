"""What the modules of the command line have in common."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The class is private, but it is what argparse hands out and the only way to name the type.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object

__all__ = ["Commands"]
