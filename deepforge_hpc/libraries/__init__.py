"""Domains that bring resources, compiled to code."""
