"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not hold, or that a reader should know."""

    kind: str
    """Errors: record_missing record_damaged edge_broken output_modified output_missing
    marker_modified plan_modified pipeline_modified site_modified code_modified operation_modified
    script_modified blob_damaged.
    Warnings: output_gone input_modified input_gone input_declared marker_missing code_gone
    blob_missing. Information: operation_edited."""
    level: str
    """error | warning | info; only an error makes the verification fail."""
    subject: str
    """Path or record."""
    message: str
