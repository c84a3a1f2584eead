"""Figures of user code, captured at the canvas while plain matplotlib draws them.

`install` only leaves a note for the import system. When user code imports matplotlib, four places
are wrapped: `Figure.draw`, `FigureCanvasBase.print_figure` (savefig), `show` and the closing of a
figure. They are below every backend, so `matplotlib.use("Agg")` changes nothing. User code sees the
same results, exceptions and figures as without; a capture that fails is one line in the log.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.metrics import is_main_rank

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from .capture import Recorder
    from .identity import FigureId

__all__ = ["Capture", "install"]

_BATCH_BACKENDS = frozenset({"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"})


def install(folder: Path, drawer: FigureId) -> Capture | None:
    """Capture the figures of this process into `folder` from now on; each file names its `drawer`.

    Call it before user code is imported. Does nothing and returns None outside of a job and on
    ranks above 0. Figures that are open at the end are captured when the interpreter exits, or by
    `finish()` of what is returned.
    """
    if not os.environ.get("DFH_JOB") or not is_main_rank(os.environ):
        return None
    if os.environ.get("MPLBACKEND", "").lower() not in _BATCH_BACKENDS:
        # A backend inherited from the shell that submitted (a notebook's, or a window's where a
        # dead DISPLAY was exported) would fail or wait for ever in a batch job.
        os.environ["MPLBACKEND"] = "Agg"
    capture = Capture(folder, drawer)
    capture.start()
    return capture


class Capture:
    """The wrappers around matplotlib, put in place as its modules are imported."""

    def __init__(self, folder: Path, drawer: FigureId) -> None:
        self._folder = folder
        self._drawer = drawer
        self._recorder: Recorder | None = None
        self._undo: list[tuple[Any, str, Any]] = []
        self._finder = _PostImport(
            {
                "matplotlib.backend_bases": self._wrap_canvas,
                "matplotlib.figure": self._wrap_figure,
                "matplotlib.pyplot": self._wrap_pyplot,
            }
        )

    def start(self) -> None:
        """Wrap what is imported already, and the rest when it is."""
        self._finder.start()

    def finish(self) -> None:
        """Write the last state of every open figure."""
        if self._recorder is not None:
            self._recorder.finish(_open_figures())

    def stop(self) -> None:
        """Take every wrapper away again."""
        self._finder.stop()
        atexit.unregister(self.finish)
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)
        self._undo.clear()

    def _wrap(self, owner: Any, name: str, build: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(build(original)))
        self._undo.append((owner, name, original))

    def _started(self, print_figure: Any = None) -> Recorder:
        if self._recorder is None:
            from .capture import Recorder

            self._recorder = Recorder(self._folder, self._drawer)
        if print_figure is not None:
            self._recorder.print_figure = print_figure
        return self._recorder

    def _wrap_canvas(self, module: Any) -> None:
        recorder = self._started(module.FigureCanvasBase.print_figure)

        def print_figure(original: Any) -> Any:
            def wrapper(canvas: Any, *args: Any, **kwargs: Any) -> Any:
                with recorder.saving():
                    result = original(canvas, *args, **kwargs)
                recorder.saved(canvas.figure, kwargs.get("format"))
                return result

            return wrapper

        def destroy(original: Any) -> Any:
            def wrapper(manager: Any) -> Any:
                recorder.closing(manager.canvas.figure)
                return original(manager)

            return wrapper

        self._wrap(module.FigureCanvasBase, "print_figure", print_figure)
        self._wrap(module.FigureManagerBase, "destroy", destroy)

    def _wrap_figure(self, module: Any) -> None:
        recorder = self._started()

        def draw(original: Any) -> Any:
            def wrapper(figure: Any, *args: Any, **kwargs: Any) -> Any:
                result = original(figure, *args, **kwargs)
                recorder.drawn(figure)
                return result

            return wrapper

        def show(original: Any) -> Any:
            def wrapper(figure: Any, *args: Any, **kwargs: Any) -> Any:
                recorder.shown(figure, now=True)
                with _no_window_is_fine():
                    return original(figure, *args, **kwargs)

            return wrapper

        self._wrap(module.Figure, "draw", draw)
        self._wrap(module.Figure, "show", show)
        atexit.register(self.finish)

    def _wrap_pyplot(self, module: Any) -> None:
        recorder = self._started()

        def show(original: Any) -> Any:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                # plt.pause() calls show(block=False) for each step of an animation.
                now = kwargs.get("block", True) is not False
                for figure in _open_figures():
                    recorder.shown(figure, now=now)
                with _no_window_is_fine():
                    return original(*args, **kwargs)

            return wrapper

        self._wrap(module, "show", show)
        # Again, after pyplot's own handler was registered: ours then runs while figures are open.
        atexit.unregister(self.finish)
        atexit.register(self.finish)


def _open_figures() -> list[Any]:
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return []
    return [manager.canvas.figure for manager in helpers.Gcf.get_all_fig_managers()]


@contextlib.contextmanager
def _no_window_is_fine() -> Iterator[None]:
    """Keep matplotlib from warning that Agg cannot open a window."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive")
        yield


class _PostImport:
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
            try:
                action(module)
            except AttributeError as error:  # a matplotlib that lacks what is wrapped
                from .capture import warn

                warn(f"figures are not captured with this matplotlib: {error}")
