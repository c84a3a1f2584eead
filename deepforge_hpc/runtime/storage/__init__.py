"""Where data lies: the contract of a place, and the one that is a folder."""
