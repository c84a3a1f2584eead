"""A network in other forms: Python as one writes it, Keras' own JSON, Graphviz."""
