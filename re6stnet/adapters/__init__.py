"""One module for each thing outside the node: kernel, programs, peers, registry, disk."""
