"""What becomes of a figure that was drawn: PNG, SVG and data in the job's folder."""

# ruff: noqa: SLF001 -- to leave a figure as it was, some of matplotlib's own attributes are put back

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.codec import encode, parse
from ..base.files import publish_bytes, publish_json, read_own
from .data import figure_data, figure_title, has_content, heavy_artists
from .identity import KEY
from .index import INDEX, FigureEntry, FigureIndex

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .identity import FigureId

MAX_FIGURES = 100
_INTERVAL_S = 2.0
_MAX_PIXELS = 1600
_MAX_SVG_BYTES = 3 << 20
_MAX_WARNINGS = 5
# A figure that is drawn again and again costs at most this part of the time; shown and saved
# figures may take as much again, and a few seconds, before they are thinned out as well.
_SHARE = 0.1
_FREE_S = 5.0
_STREAMS = frozenset({"raw", "rgba"})  # frames of an animation


@dataclass(slots=True)
class _Captured:
    """One captured figure."""

    id: str
    title: str = ""
    updated: str = ""
    has_svg: bool = False
    dirty: bool = False
    """Drawn since it was last written, or written without its SVG."""
    next_draw: float = 0.0
    """No PNG for a draw before this time."""

    def entry(self) -> FigureEntry:
        svg = f"{self.id}.svg" if self.has_svg else None
        return FigureEntry(
            self.id, self.title, self.updated, f"{self.id}.png", svg, f"{self.id}.json"
        )


class Recorder:
    """Writes figures as they are drawn, shown, saved and closed."""

    print_figure: Callable[..., Any]
    """matplotlib's own `FigureCanvasBase.print_figure`."""

    def __init__(self, folder: Path, drawer: FigureId) -> None:
        self._folder = folder
        self._drawer = drawer
        self._entries: dict[str, _Captured] = {}
        self._known: weakref.WeakKeyDictionary[Figure, str] = weakref.WeakKeyDictionary()
        self._unnamed = 0
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._process = os.getpid()
        self._begin = time.monotonic()
        self._spent = 0.0
        self._warnings = 0

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Ignore the draws of a figure that is being saved: size and colours are not its own."""
        depth = getattr(self._thread, "depth", 0)
        self._thread.depth = depth + 1
        try:
            yield
        finally:
            self._thread.depth = depth

    def drawn(self, figure: Figure) -> None:
        """Take a draw: a PNG now and then."""
        if not getattr(self._thread, "depth", 0):
            self._take(figure, now=False, svg=False)

    def saved(self, figure: Figure, file_format: str | None) -> None:
        """Take a savefig."""
        if not getattr(self._thread, "depth", 0):
            stream = file_format in _STREAMS
            self._take(figure, now=not stream, svg=not stream)

    def shown(self, figure: Figure, *, now: bool) -> None:
        """Take a show; one that does not wait is like a draw."""
        self._take(figure, now=now, svg=now)

    def closing(self, figure: Figure) -> None:
        """Take the last look at a figure, if it was drawn since it was written."""
        entry = self._entries.get(self._known.get(figure, ""))
        if entry is not None and entry.dirty:
            self._take(figure, now=True, svg=True, last=True)

    def finish(self, open_figures: list[Figure]) -> None:
        """Write what is open and has changed, or was never drawn at all."""
        for figure in open_figures:
            if figure.stale or figure not in self._known:
                self._take(figure, now=True, svg=True, last=True)
        for figure in list(self._known):
            self.closing(figure)

    def _take(self, figure: Figure, *, now: bool, svg: bool, last: bool = False) -> None:
        # A forked worker of the user's must not write over its parent's figures; and a capture
        # draws the figure itself, which ends here again.
        if os.getpid() != self._process or not self._lock.acquire(blocking=False):
            return
        try:
            begin = time.monotonic()
            if not last and self._spent > _FREE_S + _SHARE * (begin - self._begin):
                now = svg = False
            entry = self._entry(figure)
            if entry is None:
                return
            entry.dirty = True
            # A figure that was cleared after it was saved keeps what was saved.
            if (now or begin >= entry.next_draw) and has_content(figure):
                self._write(figure, entry, svg=svg)
                cost = time.monotonic() - begin
                self._spent += cost
                entry.next_draw = begin + cost + max(_INTERVAL_S, cost / _SHARE)
        except Exception as error:  # noqa: BLE001 -- no figure is worth the user's computation
            self._warn(f"a figure was not captured: {type(error).__name__}: {error}")
        finally:
            self._lock.release()

    def _entry(self, figure: Figure) -> _Captured | None:
        name = self._known.get(figure)
        if name is None:
            name = self._identity(figure)
            if name not in self._entries and len(self._entries) >= MAX_FIGURES:
                self._warn(f"only the first {MAX_FIGURES} figures of a job are captured")
                return None
            self._known[figure] = name
        return self._entries.setdefault(name, _Captured(id=name))

    def _identity(self, figure: Figure) -> str:
        label = str(figure.get_label() or "")
        if label:
            slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", label).strip("-.")[:48]
            if slug == label and not re.fullmatch(r"(canvas-)?\d+|index", slug):
                return slug
            return f"{slug or 'figure'}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
        # Not by the manager, which is set aside while an animation is saved. `number` warns.
        known = vars(figure)
        number = known.get("_number") or known.get("number")  # the second before matplotlib 3.10
        if number:
            return str(int(number))
        self._unnamed += 1
        return f"canvas-{self._unnamed}"

    def _write(self, figure: Figure, entry: _Captured, *, svg: bool) -> None:
        png = self._render(figure, entry.id, "png", "agg")
        drawing = self._render(figure, entry.id, "svg", "svg") if svg else b""
        if len(drawing) > _MAX_SVG_BYTES:
            drawing = b""
        if not entry.updated:
            self._prepare()
        publish_bytes(self._folder / f"{entry.id}.png", png, durable=False)
        data = {**figure_data(figure, entry.id), KEY.lower(): self._identifier(f"{entry.id}.json")}
        publish_json(self._folder / f"{entry.id}.json", data, durable=False)
        vector = self._folder / f"{entry.id}.svg"
        if drawing:
            publish_bytes(vector, drawing, durable=False)
        else:  # one of an earlier state would contradict the PNG
            vector.unlink(missing_ok=True)
        entry.title = figure_title(figure)
        entry.updated = datetime.now(timezone.utc).isoformat(timespec="seconds")
        entry.has_svg = bool(drawing)
        entry.dirty = not svg
        written = FigureIndex(tuple(i.entry() for i in self._entries.values() if i.updated))
        publish_json(self._folder / INDEX, encode(written), durable=False)

    def _prepare(self) -> None:
        """Make the folder; before the first figure, take an earlier attempt's away."""
        if any(entry.updated for entry in self._entries.values()):
            return
        self._folder.mkdir(exist_ok=True)
        try:
            earlier = parse(FigureIndex, read_own(self._folder / INDEX), is_open=True)
        except (OSError, ValueError):
            return
        for item in earlier.figures:
            for name in filter(None, map(item.file, ("png", "svg", "data"))):
                (self._folder / name).unlink(missing_ok=True)

    def _identifier(self, file: str) -> str:
        return str(self._drawer._replace(file=file))

    def _render(self, figure: Figure, name: str, file_format: str, backend: str) -> bytes:
        """Return the figure as a file, on a canvas of our own, and leave it as it was.

        matplotlib's own way of saving puts back size, resolution, colours, canvas and layout.
        """
        matplotlib = sys.modules["matplotlib"]
        longest = max(figure.get_size_inches())
        unsaid = "Date" if file_format == "svg" else "Software"
        metadata = {unsaid: None, KEY: self._identifier(f"{name}.{file_format}")}
        output = io.BytesIO()
        with (
            warnings.catch_warnings(),
            matplotlib.rc_context({"svg.hashsalt": "dfh"}),
            _unheard(figure, type(figure.canvas.callbacks)()),
            _unstirred(figure),
            _rasterized(figure) if file_format == "svg" else contextlib.nullcontext(),
        ):
            warnings.simplefilter("ignore")
            self.print_figure(
                figure.canvas,
                output,
                format=file_format,
                backend=backend,
                dpi=min(figure.dpi, _MAX_PIXELS / longest),
                metadata=metadata,
            )
        return output.getvalue()

    def _warn(self, message: str) -> None:
        self._warnings += 1
        if self._warnings <= _MAX_WARNINGS:
            more = "; further warnings of this kind are not shown"
            warn(message + (more if self._warnings == _MAX_WARNINGS else ""))


def warn(message: str) -> None:
    """Put one line into the job's log."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"dfh: warning: {message}\n")


@contextlib.contextmanager
def _unheard(figure: Any, silence: object) -> Iterator[None]:
    """Keep the user's `draw_event` callbacks out of it.

    matplotlib's own `blocked()` breaks when a callback is garbage collected meanwhile.
    """
    callbacks = figure._canvas_callbacks
    figure._canvas_callbacks = silence
    try:
        yield
    finally:
        figure._canvas_callbacks = callbacks


@contextlib.contextmanager
def _unstirred(figure: Figure) -> Iterator[None]:
    """Keep what a draw changes: `stale`, by which pyplot decides whether to draw, and the layout.

    A layout engine moves the axes a little each time that it runs.
    """
    stale, callback = figure.stale, figure.stale_callback
    margins = dict(vars(figure.subplotpars))
    places: list[tuple[Any, Any, Any]] = []
    if figure.get_layout_engine() is not None:
        places = [(axes, axes.get_position(original=True).frozen(), axes.get_position().frozen())
                  for axes in figure.axes]  # fmt: skip
    figure.stale_callback = None
    try:
        yield
    finally:
        vars(figure.subplotpars).update(margins)
        for axes, original, active in places:
            axes._set_position(original, which="original")  # the public one leaves the layout
            axes._set_position(active, which="active")
        figure.stale = stale
        figure.stale_callback = callback


@contextlib.contextmanager
def _rasterized(figure: Figure) -> Iterator[None]:
    """Draw what has very many points as pixels inside the SVG."""
    changed = [(artist, artist.get_rasterized()) for artist in heavy_artists(figure)]
    try:
        for artist, _ in changed:
            artist.set_rasterized(True)
        yield
    finally:
        for artist, before in changed:
            artist.set_rasterized(before)
