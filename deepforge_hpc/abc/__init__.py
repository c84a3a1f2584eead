"""Contracts that third parties implement."""
