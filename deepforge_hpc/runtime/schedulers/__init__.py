"""What a job asks of the scheduler that runs it."""
