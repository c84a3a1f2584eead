"""What a person sees: each view is text of typed data."""
