"""The node: joins the network, keeps tunnels to well-chosen peers, drives babeld, and explains itself."""
