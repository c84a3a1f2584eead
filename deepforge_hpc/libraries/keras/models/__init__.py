"""Saved models: looked into, and written for other programs, by a Keras in a process of its own."""
