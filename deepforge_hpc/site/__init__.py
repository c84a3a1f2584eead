"""One supercomputer: its facts, and the file that states them."""
