"""The only writer to a scheduler, and what it leaves on disk: executions, submissions, status."""
