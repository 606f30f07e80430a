"""A measured value and the bounds it must keep, in stories on real machines and in the model.  Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounded:
    """What was measured; without bounds, anything is right."""

    value: float | None  # None: could not be measured
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the value is within its bounds; without bounds it always is."""
        if self.at_most is None and self.at_least is None:
            return True
        if self.value is None or (self.at_most is not None and self.value > self.at_most):
            return False
        return self.at_least is None or self.value >= self.at_least

    @property
    def bound(self) -> str | None:
        """The bound in words, as in ``<= 10``."""
        parts = [f"<= {self.at_most:g}"] if self.at_most is not None else []
        parts += [f">= {self.at_least:g}"] if self.at_least is not None else []
        return " and ".join(parts) or None
