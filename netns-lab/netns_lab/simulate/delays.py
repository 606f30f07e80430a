"""The delays that a simulation runs on: one underlay, or one for each round."""

from array import array
from dataclasses import dataclass

from netns_lab.simulate.underlay import Places, Underlay


@dataclass(frozen=True, slots=True)
class Delays:
    """How far nodes are from each other: matrices, of which round after round takes the next, or places."""

    name: str
    nodes: int
    matrices: tuple["array[int]", ...] = ()
    """Microseconds, ``nodes * nodes`` each."""
    places: Places | None = None
    notes: tuple[str, ...] = ()
    """What was done to the data on the way in; shown with the results."""

    def underlays(self) -> list[Underlay]:
        """One underlay for each matrix, or the one of the places."""
        sources: list[array[int] | Places] = [self.places] if self.places else list(self.matrices)
        return [Underlay(self.nodes, source) for source in sources]

    def only(self, hosts: list[int]) -> "Delays":
        """The same for some of the hosts, in this order."""
        reduced = tuple(
            array("i", (matrix[a * self.nodes + b] for a in hosts for b in hosts)) for matrix in self.matrices
        )
        note = f"{len(hosts)} of {self.nodes} hosts, drawn at random"
        return Delays(self.name, len(hosts), reduced, notes=(*self.notes, note))
