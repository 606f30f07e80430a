"""Machines between a site's nodes and the Internet: NAT boxes and firewalls, in nftables."""
