"""A network on trial: PyTorch builds it on its meta device; every error is found at its layer."""
