"""Attention heads of real networks: queries, keys and values as they come when a network reads."""
