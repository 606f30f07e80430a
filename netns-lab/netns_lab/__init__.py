"""A believable Internet on one machine: namespaces, measured delays, NAT, and the real daemons."""
