"""Everything the node decides, without I/O, clock or chance of its own; also what the simulator runs."""
