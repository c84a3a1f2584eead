"""Reading, tracing and verifying the records of a project."""
