"""Contracts of adapters, and how an adapter is found by its name."""
