"""YAML and Python sources to typed, checked specifications."""
