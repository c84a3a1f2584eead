"""PyTorch networks as YAML files."""
