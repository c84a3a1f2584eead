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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.metrics import is_main_rank
from ..base.post_import import PostImport

if TYPE_CHECKING:
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
        self._finder = PostImport(
            {
                "matplotlib.backend_bases": _attempt(self._wrap_canvas),
                "matplotlib.figure": _attempt(self._wrap_figure),
                "matplotlib.pyplot": _attempt(self._wrap_pyplot),
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


def _attempt(wrap: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def attempt(module: ModuleType) -> None:
        try:
            wrap(module)
        except AttributeError as error:  # a matplotlib that lacks what is wrapped
            from .capture import warn

            warn(f"figures are not captured with this matplotlib: {error}")

    return attempt
