"""How a host becomes a node: CA, key, certificate and option file, in one directory."""
