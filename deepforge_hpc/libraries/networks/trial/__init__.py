"""A network on trial: Keras builds it without weights, and every error is found at its layer."""
