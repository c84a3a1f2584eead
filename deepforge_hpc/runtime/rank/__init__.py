"""One process a rank: it is the operation."""
