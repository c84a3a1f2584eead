"""What stops a training, in a sentence for the person who started it."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """Something that the person who started a training can mend: it says what and how."""
