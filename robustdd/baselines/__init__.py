"""Peers: what others would do with the same networks, so that a number of ours has something beside it."""
