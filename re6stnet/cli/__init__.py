"""Commands of the node: parse, build settings, call; the only place that exits."""
