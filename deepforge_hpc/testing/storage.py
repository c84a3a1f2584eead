"""What every storage adapter must do, as tests: subclass `StorageContract` and run pytest.

    class TestMemory(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path: Path) -> Storage:
            return MemoryStorage("memory://trial")

        def set_raw(self, storage: Storage, name: str, data: bytes) -> None:
            storage.kept[name] = data

        def names_raw(self, storage: Storage) -> set[str]:
            return set(storage.kept)

        def get_raw(self, storage: Storage, name: str) -> bytes:
            return storage.kept[name]

The three raw methods must not use the adapter: what it says is compared with what they see.
"""

from __future__ import annotations

from deepforge_hpc.testing.storage_read import ReadingTests
from deepforge_hpc.testing.storage_write import WritingTests


class StorageContract(ReadingTests, WritingTests):
    """What every adapter must do."""
