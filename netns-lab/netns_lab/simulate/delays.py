"""The delays that a simulation runs on: one underlay, or one for each round."""

from array import array
from dataclasses import dataclass

from netns_lab.simulate.underlay import Places, Underlay


@dataclass(frozen=True, slots=True)
class Delays:
    """Where nodes are from each other; with several slices, round after round takes the next."""

    name: str
    nodes: int
    slices: tuple["array[int] | Places", ...]
    notes: tuple[str, ...] = ()
    """What was done to the data on the way in; shown with the results."""

    def underlays(self) -> list[Underlay]:
        """One underlay for each slice."""
        return [Underlay(self.nodes, slice_) for slice_ in self.slices]

    def only(self, hosts: list[int]) -> "Delays":
        """The same for some of the hosts, in this order; slices must be matrices."""
        reduced = []
        for matrix in self.slices:
            assert not isinstance(matrix, Places)
            reduced.append(array("i", (matrix[a * self.nodes + b] for a in hosts for b in hosts)))
        note = f"{len(hosts)} of {self.nodes} hosts, drawn at random"
        return Delays(self.name, len(hosts), tuple(reduced), (*self.notes, note))
