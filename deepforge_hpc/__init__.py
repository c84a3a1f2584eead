"""DeepForge for supercomputers: pipelines of deep-learning operations as guarded Slurm jobs."""

from __future__ import annotations

TYPE_CHECKING = False  # of `typing`, which a file on PYTHONPATH may hide: see `cli.hidden`
if TYPE_CHECKING:
    from deepforge_hpc.pipeline.builder import Pipeline
    from deepforge_hpc.pipeline.parts import load_parts

__version__ = "0.1.0"
__all__ = ["Pipeline", "__version__", "load_parts"]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: `import deepforge_hpc` stays cheap."""
    if name == "Pipeline":
        from deepforge_hpc.pipeline.builder import Pipeline

        return Pipeline
    if name == "load_parts":
        from deepforge_hpc.pipeline.parts import load_parts

        return load_parts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
