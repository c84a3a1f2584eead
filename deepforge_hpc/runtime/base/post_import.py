"""Something to do once a module has been imported, by whomever and whenever."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class PostImport:
    """A finder that runs an action after a module was imported, and is else invisible."""

    def __init__(self, actions: dict[str, Callable[[ModuleType], None]]) -> None:
        self._actions = actions

    def start(self) -> None:
        """Act on what is imported already; then wait for the rest."""
        for name in list(self._actions):
            if name in sys.modules:
                self._act(sys.modules[name])
        if self._actions:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Leave the import system."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that another finder gives, with a note on its loader."""
        if name not in self._actions:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        """Let the loader of one module tell when it has run."""
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            self._act(module)

        loader.exec_module = exec_module

    def _act(self, module: ModuleType) -> None:
        action = self._actions.pop(module.__name__, None)
        if not self._actions:
            self.stop()
        if action is not None:
            action(module)
