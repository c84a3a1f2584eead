"""A network as a picture: a box for each run of layers, an edge for what they pass on."""
