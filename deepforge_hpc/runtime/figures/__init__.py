"""Figures that an operation draws, captured as it draws them."""
