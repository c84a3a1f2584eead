"""The adapters that queue jobs."""
