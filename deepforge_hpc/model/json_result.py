"""What a command shows with `--json`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from deepforge_hpc.runtime.base.codec import encode


@dataclass(frozen=True, slots=True)
class JsonResult:
    """A result whose fields are its JSON data, behind the schema that its class names."""

    schema: ClassVar[str] = ""

    def __init_subclass__(cls, schema: str = "") -> None:
        if schema:
            cls.schema = schema

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        head = {"schema": self.schema} if self.schema else {}
        return {**head, **{item.name: encode(getattr(self, item.name)) for item in fields(self)}}
