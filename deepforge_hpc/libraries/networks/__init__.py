"""Networks as YAML files: what the libraries of architectures have in common."""
