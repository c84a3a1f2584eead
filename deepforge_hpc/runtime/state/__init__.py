"""The small files that say what became of a job, and the records of the ledger."""
