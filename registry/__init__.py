"""Who may join a network, and with which prefix: domain, store, HTTP API, client and command line."""
