"""Specification and site to a frozen plan; pure."""
