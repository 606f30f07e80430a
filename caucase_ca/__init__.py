"""Certificate authority of a network: what certificates contain, and their signing."""
