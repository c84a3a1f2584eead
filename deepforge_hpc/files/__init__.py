"""Files of the user: one strict loader, kinds of values, every fault at its place."""
