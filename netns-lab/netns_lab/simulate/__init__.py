"""The simulator: what a way of choosing tunnels makes of an Internet, for thousands of nodes at a time."""
