"""What a person should know, as data: no warning is only a sentence."""

# Annotations are types here, which the codec reads.
from typing import Any, NamedTuple

ERROR, WARNING, INFO = "error", "warning", "info"


class Notice(NamedTuple):
    """Something that was found, why it matters, and what to do."""

    kind: str
    """A word of a closed list that programs may ask for: `submission_broken`, `output_modified`."""
    text: str
    """One or two sentences, whole without the other fields."""
    subject: str = ""
    """What it is about: a job, an execution, a path, a place in a file."""
    keys: tuple[str, ...] = ()
    """Dotted keys of the site's or the pipeline's file, such as `queues.gpu.time`."""
    next: str = ""
    """What to do: a command, or a sentence; empty if there is nothing to do."""
    level: str = WARNING
    """error | warning | info"""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {**self._asdict(), "keys": list(self.keys)}

    def __str__(self) -> str:
        return f"{self.text} ({self.next})" if self.next else self.text
