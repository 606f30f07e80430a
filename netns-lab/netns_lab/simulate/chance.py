"""Independent streams of chance, all from one seed."""

import random


def chance(seed: int, what: str) -> random.Random:
    """The stream for one purpose: drawing more from one does not change the others."""
    return random.Random(f"{seed} {what}")  # noqa: S311 - a simulation that can be repeated, no secrets
