"""One supervisor a job or array task: guard, stage in, start the ranks, publish, record."""
