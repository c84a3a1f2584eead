"""Keras architectures as YAML files."""
