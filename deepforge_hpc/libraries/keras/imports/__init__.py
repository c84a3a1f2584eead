"""Models that Keras saved, as architecture files: read as data, nothing of them is run."""
