"""The data behind a figure as JSON: what each artist shows, in the units of its axes."""

# ruff: noqa: SLF001 -- what a 3-D artist was given is public in its 2-D projection only

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = "dfh/figure-data/1"
HEAVY_POINTS = 5_000
_ARTIST_POINTS = 10_000
_FIGURE_POINTS = 200_000
_IMAGE_POINTS = 1 << 16
_MAX_TEXT = 2_000


def figure_title(figure: Figure) -> str:
    """Return the words that name a figure best: its title, its axes' title, its label."""
    axes_titles = (axes.get_title() for axes in figure.axes)
    candidates = itertools.chain([figure.get_suptitle()], axes_titles, [figure.get_label()])
    return next((_text_of(title) for title in candidates if title), "")


def has_content(figure: Figure) -> bool:
    """Tell whether there is anything to see but empty axes."""
    return (
        bool(figure.texts)
        or any(_own(figure))
        or any(axes.has_data() or axes.texts or axes.tables or axes.artists for axes in figure.axes)
    )


def heavy_artists(figure: Figure) -> list[Any]:
    """Return the artists with more than 5,000 points, which an SVG should not spell out."""
    heavy: list[Any] = []
    for axes in _axes(figure):
        if len(axes.patches) > HEAVY_POINTS:
            heavy.extend(axes.patches)
        heavy.extend(line for line in axes.lines if _length(line) > HEAVY_POINTS)
        heavy.extend(item for item in axes.collections if _length(item) > HEAVY_POINTS)
    return heavy


def figure_data(figure: Figure, identity: str) -> dict[str, object]:
    """Return title, axes and artists of a figure as JSON data."""
    reader = _ArtistReader()
    width, height = figure.get_size_inches()
    return {
        "schema": SCHEMA,
        "id": identity,
        "title": figure_title(figure),
        "size_inches": [float(width), float(height)],
        "axes": [reader.axes(axes) for axes in _axes(figure)],
        "texts": [_text_of(text.get_text()) for text in figure.texts],
        "artists": reader.loose(_own(figure)),
    }


def _own(figure: Figure) -> Iterator[Any]:
    """Yield the artists that belong to the figure, not to axes."""
    for name in ("images", "lines", "patches", "artists"):
        yield from getattr(figure, name)


def _axes(figure: Figure) -> Iterator[Any]:
    for axes in figure.axes:
        yield axes
        yield from getattr(axes, "child_axes", ())


def _length(artist: Any) -> int:
    if hasattr(artist, "get_xdata"):
        return len(artist.get_xdata(orig=False))
    sizes = [len(artist.get_offsets()), len(artist.get_paths())]
    values = artist.get_array()
    if values is not None:
        sizes.append(values.size)
    return max(sizes)


def _label(artist: Any) -> str:
    label = _text_of(artist.get_label() or "")
    return "" if label.startswith("_") else label  # matplotlib's own names


class _ArtistReader:
    """Turns artists into JSON data within a number of points for the whole figure."""

    def __init__(self) -> None:
        self._left = _FIGURE_POINTS

    def axes(self, axes: Any) -> dict[str, object]:
        names = ("x", "y", "z") if hasattr(axes, "get_zlim") else ("x", "y")
        legend = axes.get_legend()
        return {
            "projection": axes.name,
            "title": _text_of(axes.get_title()),
            "position": _plain(list(axes.get_position().bounds)),
            **{
                name: {
                    "label": _text_of(getattr(axes, f"get_{name}label")()),
                    "limits": _plain(list(getattr(axes, f"get_{name}lim")())),
                    "scale": _text_of(getattr(axes, f"get_{name}scale")()),
                }
                for name in names
            },
            "legend": [_text_of(text.get_text()) for text in legend.get_texts()] if legend else [],
            "artists": [item for item in self._artists(axes) if item is not None],
        }

    def loose(self, artists: Iterable[Any]) -> list[dict[str, object]]:
        """Return artists of a figure itself."""
        found = [self._artist(artist, self._any) for artist in artists]
        return [item for item in found if item is not None]

    def _artists(self, axes: Any) -> Iterator[dict[str, object] | None]:
        grouped: set[int] = set()
        for container in axes.containers:
            bars = getattr(container, "patches", None)
            if bars and all(hasattr(bar, "get_width") for bar in bars):
                grouped.update(id(bar) for bar in bars)
                yield self._artist(container, self._bars)
        for line in axes.lines:
            yield self._artist(line, self._line)
        for collection in axes.collections:
            yield self._artist(collection, self._collection)
        for image in axes.images:
            yield self._artist(image, self._image)
        for patch in axes.patches:
            if id(patch) not in grouped:
                yield self._artist(patch, self._patch)
        for other in (*axes.texts, *axes.tables, *axes.artists):
            yield self._artist(other, self._any)

    def _artist(
        self, artist: Any, read: Callable[[Any], dict[str, object]]
    ) -> dict[str, object] | None:
        if not getattr(artist, "get_visible", lambda: True)():
            return None
        try:
            return {"label": _label(artist), **read(artist)}
        except Exception as error:  # noqa: BLE001 -- data beside a picture, and any class of a user
            # An artist of a kind not known here is named, not fatal.
            return {"kind": type(artist).__name__, "problem": f"{type(error).__name__}: {error}"}

    def _columns(self, **columns: Any) -> dict[str, object]:
        """Return columns of one length, each row kept or left out as a whole."""
        count = max((len(column) for column in columns.values()), default=0)
        limit = max(1, min(_ARTIST_POINTS, self._left // max(1, len(columns))))
        step = max(1, math.ceil(count / limit))
        data: dict[str, object] = {"n": count}
        if step > 1:
            data["step"] = step
        for name, column in columns.items():
            kept = _plain(column[::step])
            data[name] = kept
            self._left -= len(kept) if isinstance(kept, list) else 1
        return data

    def _line(self, line: Any) -> dict[str, object]:
        if hasattr(line, "get_data_3d"):
            x, y, z = line.get_data_3d()
            columns = self._columns(x=x, y=y, z=z)
        else:
            columns = self._columns(x=_dates_of(line.get_xdata(), line.get_xdata(orig=False)),
                                    y=line.get_ydata(orig=False))  # fmt: skip
        return {
            "kind": "line",
            "color": _color_of(line.get_color()),
            "style": _text_of(line.get_linestyle()),
            "marker": _text_of(line.get_marker()),
            **columns,
        }

    def _bars(self, container: Any) -> dict[str, object]:
        bars = list(container.patches)
        return {
            "kind": "bars",
            "color": _color_of(bars[0].get_facecolor()),
            **self._columns(
                x=[bar.get_x() for bar in bars],
                y=[bar.get_y() for bar in bars],
                width=[bar.get_width() for bar in bars],
                height=[bar.get_height() for bar in bars],
            ),
        }

    def _patch(self, patch: Any) -> dict[str, object]:
        color = {"color": _color_of(patch.get_facecolor())}
        if hasattr(patch, "theta1") and hasattr(patch, "r"):
            return {
                "kind": "wedge",
                **color,
                "center": _plain(patch.center),
                "radius": _plain(patch.r),
                "degrees": _plain([patch.theta1, patch.theta2]),
            }
        if hasattr(patch, "get_bbox") and hasattr(patch, "get_xy"):
            return {
                "kind": "rectangle",
                **color,
                "x": _plain(patch.get_x()),
                "y": _plain(patch.get_y()),
                "width": _plain(patch.get_width()),
                "height": _plain(patch.get_height()),
            }
        outline = patch.get_patch_transform().transform_path(patch.get_path()).vertices
        return {"kind": "polygon", **color, **self._columns(x=outline[:, 0], y=outline[:, 1])}

    def _image(self, image: Any) -> dict[str, object]:
        return {
            "kind": "image",
            "extent": _plain(list(image.get_extent())),
            "origin": _text_of(getattr(image, "origin", "")),
            **self._mapped(image),
            **self._grid(image.get_array()),
        }

    def _mapped(self, artist: Any) -> dict[str, object]:
        return {"colormap": artist.get_cmap().name, "color_limits": _plain(list(artist.get_clim()))}

    def _grid(self, values: Any) -> dict[str, object]:
        """Return a 2-D array (or one of colours), of a large one each n-th row and column."""
        limit = max(1, min(_IMAGE_POINTS, self._left))
        step = max(1, math.ceil(math.sqrt(values.size / limit)))
        kept = values[::step, ::step]
        self._left -= kept.size
        data: dict[str, object] = {"shape": _plain(list(values.shape)), "values": _plain(kept)}
        return data if step == 1 else {**data, "step": step}

    def _collection(self, item: Any) -> dict[str, object]:
        color = _color_of(item.get_facecolor()) or _color_of(item.get_edgecolor())
        if hasattr(item, "_offsets3d"):
            read = self._scatter
        elif hasattr(item, "get_coordinates") and item.get_array() is not None:
            read = self._mesh
        elif hasattr(item, "U") or hasattr(item, "u"):
            read = self._arrows
        elif hasattr(item, "levels"):
            read = self._contour
        elif any(hasattr(item, name) for name in ("_segments3d", "_faces", "_vec")):
            read = self._faces
        elif len(item.get_offsets()) > 1 or hasattr(item, "legend_elements"):
            read = self._scatter
        else:
            read = self._shapes
        return {"color": color, **read(item)}

    def _scatter(self, item: Any) -> dict[str, object]:
        names = ("x", "y", "z") if hasattr(item, "_offsets3d") else ("x", "y")
        places = item._offsets3d if len(names) == 3 else item.get_offsets().T
        columns = dict(zip(names, places, strict=True))
        more = {"value": item.get_array(), "size": item.get_sizes()}
        count = len(columns["x"])
        fitting = {k: v for k, v in more.items() if v is not None and len(v) == count}
        return {"kind": "scatter", **self._columns(**columns, **fitting)}

    def _mesh(self, item: Any) -> dict[str, object]:
        corners = item.get_coordinates().reshape(-1, 2)
        low, high = corners.min(axis=0), corners.max(axis=0)
        values = item.get_array()
        return {
            "kind": "mesh",
            "extent": _plain([low[0], high[0], low[1], high[1]]),
            **self._mapped(item),
            **self._grid(values if values.ndim > 1 else values.reshape(1, -1)),
        }

    def _arrows(self, item: Any) -> dict[str, object]:
        names = "XYUV" if hasattr(item, "U") else "xyuv"  # quiver, barbs
        columns = {name.lower(): getattr(item, name) for name in names}
        return {"kind": "arrows", **self._columns(**columns)}

    def _contour(self, item: Any) -> dict[str, object]:
        return {**self._shapes(item), "kind": "contour", "levels": _plain(list(item.levels))}

    def _faces(self, item: Any) -> dict[str, object]:
        if hasattr(item, "_segments3d"):
            return {"kind": "segments", **self._parts(list(item._segments3d))}
        if hasattr(item, "_faces"):
            return {"kind": "faces", **self._parts(list(item._faces))}
        rows = item._vec[:3].T  # matplotlib before 3.10
        return {"kind": "faces", **self._parts([rows[part] for part in item._segslices])}

    def _shapes(self, item: Any) -> dict[str, object]:
        parts = [path.vertices for path in item.get_paths()]
        values = item.get_array()
        known = values is not None and len(values) == len(parts)
        colours = {**self._mapped(item), "value": _plain(values[:_ARTIST_POINTS])} if known else {}
        return {"kind": "shapes", **colours, **self._parts(parts)}

    def _parts(self, parts: list[Any]) -> dict[str, object]:
        """Return lists of points, as many whole ones as fit."""
        kept: list[object] = []
        room = min(_ARTIST_POINTS, self._left)
        for part in parts:
            room -= len(part)
            if room < 0:
                break
            kept.append(_plain(part))
            self._left -= len(part)
        return {"n": len(parts), "parts": kept}

    def _any(self, artist: Any) -> dict[str, object]:
        """Return an artist that stands in no list of its kind."""
        if hasattr(artist, "get_celld"):
            cells = sorted(artist.get_celld().items())
            texts = [[row, column, _text_of(cell.get_text().get_text())]
                     for (row, column), cell in cells]  # fmt: skip
            return {"kind": "table", "cells": texts}
        inner = getattr(artist, "offsetbox", artist)  # what is tied to a place by a box
        inner = getattr(inner, "image", inner)
        at = {"at": _plain(list(artist.xy))} if hasattr(artist, "offsetbox") else {}
        if hasattr(inner, "get_array"):
            return {"kind": "image", **at, **self._mapped(inner), **self._grid(inner.get_array())}
        if hasattr(inner, "get_xdata"):
            return self._line(inner)
        if hasattr(inner, "get_path"):
            return self._patch(inner)
        if hasattr(inner, "get_text"):
            place = getattr(inner, "get_position_3d", getattr(inner, "get_position", None))
            at = at or ({"at": _plain(list(place()))} if place else {})
            return {"kind": "text", **at, "text": _text_of(inner.get_text())}
        return {"kind": type(artist).__name__, **at}


# -- values of artists as JSON can hold them


def _text_of(value: object) -> str:
    """Return any value as text of a bounded length."""
    return str(value)[:_MAX_TEXT]


def _plain(value: Any) -> object:
    """Return a value as JSON can hold it; None for what is masked, NaN or infinite."""
    if isinstance(value, (bool, int)) or value is None:
        return value
    if isinstance(value, float):
        # Ten digits are finer than any picture, and half the bytes.
        return float(f"{value:.10g}") if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value.isoformat() if hasattr(value, "isoformat") else _text_of(value)


def _color_of(value: Any) -> object:
    """Return one colour as `#rrggbbaa`; None for none or for many."""
    colors: Any = sys.modules["matplotlib.colors"]
    if hasattr(value, "ndim") and value.ndim == 2:
        if len(value) != 1:
            return None
        value = value[0]
    try:
        return str(colors.to_hex(value, keep_alpha=True))
    except (TypeError, ValueError):
        return None


def _dates_of(original: Any, numbers: Any) -> Any:
    """Return the user's own x values where they are dates or names, else the numbers."""
    first = next(iter(original), None)
    if hasattr(first, "isoformat") or isinstance(first, str):
        return list(original)
    if getattr(getattr(original, "dtype", None), "kind", "") == "M":
        return original.astype(str)
    return numbers
