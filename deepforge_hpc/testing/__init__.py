"""Contract tests for third parties: subclass them for an adapter of your own."""

from deepforge_hpc.testing.library import LibraryContract
from deepforge_hpc.testing.scheduler import SchedulerContract

__all__ = ["LibraryContract", "SchedulerContract"]
