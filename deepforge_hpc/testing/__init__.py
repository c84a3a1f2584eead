"""Contract tests for third parties: subclass them for an adapter of your own."""
