"""Contract tests for third parties: subclass them for an adapter of your own."""

from deepforge_hpc.testing.format import FormatContract
from deepforge_hpc.testing.library import LibraryContract
from deepforge_hpc.testing.scheduler import SchedulerContract
from deepforge_hpc.testing.storage import StorageContract

__all__ = ["FormatContract", "LibraryContract", "SchedulerContract", "StorageContract"]
