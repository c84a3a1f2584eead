"""The little of FITS that SDSS frames need: one image, a tangential projection."""

from __future__ import annotations

import bz2
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK = 2880
CARD = 80
TYPES = {8: ">u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True)
class Frame:
    """An image and its place in the sky; angles in degrees."""

    pixels: np.ndarray
    reference: tuple[float, float]
    """Right ascension and declination of the reference point."""
    centre: tuple[float, float]
    """Pixel of the reference point (x, y), counted from 0."""
    matrix: np.ndarray
    """Degrees on the tangential plane for each pixel step: 2 x 2."""


def read_frame(path: Path) -> Frame:
    """Return the primary image of a FITS file, which may be compressed by bzip2."""
    data = path.read_bytes()
    if path.suffix == ".bz2":
        data = bz2.decompress(data)
    header, offset = _header(data, path)
    columns, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
    if (header["CTYPE1"], header["CTYPE2"]) != ("RA---TAN", "DEC--TAN"):
        raise ValueError(f"{path}: the projection is {header['CTYPE1']}, not RA---TAN")
    kind = np.dtype(TYPES[int(header["BITPIX"])])
    if len(data) < offset + rows * columns * kind.itemsize:
        raise ValueError(f"{path}: the file ends before its image does")
    pixels = np.frombuffer(data, kind, rows * columns, offset).reshape(rows, columns)
    scale, zero = float(header.get("BSCALE", 1)), float(header.get("BZERO", 0))
    names = (("CD1_1", "CD1_2"), ("CD2_1", "CD2_2"))
    return Frame(
        pixels=pixels.astype(np.float32) * scale + zero,
        reference=(float(header["CRVAL1"]), float(header["CRVAL2"])),
        centre=(float(header["CRPIX1"]) - 1, float(header["CRPIX2"]) - 1),
        matrix=np.array([[float(header[name]) for name in row] for row in names]),
    )


def _header(data: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Return the cards of the primary header, and where its data begins."""
    cards: dict[str, str] = {}
    for place in range(0, len(data) - CARD + 1, CARD):
        card = data[place : place + CARD].decode("ascii", "replace")
        name = card[:8].strip()
        if name == "END":
            return cards, -(-(place + CARD) // BLOCK) * BLOCK
        if card[8:10] == "= ":
            text = card[10:].lstrip()
            quoted = text.startswith("'")
            value = text[1:].partition("'")[0] if quoted else text.partition("/")[0]
            cards[name] = value.strip()
    raise ValueError(f"{path}: not a FITS file")


def sky_to_pixel(frame: Frame, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (x, y) of positions in degrees."""
    xi, eta = project(ra, dec, frame.reference)
    x, y = np.linalg.inv(frame.matrix) @ np.stack([xi.ravel(), eta.ravel()])
    return x.reshape(xi.shape) + frame.centre[0], y.reshape(xi.shape) + frame.centre[1]


def project(
    ra: np.ndarray, dec: np.ndarray, reference: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions on the plane that touches the sky at the reference point, in degrees."""
    ra0, dec0 = np.radians(reference)
    ra, dec = np.radians(ra) - ra0, np.radians(dec)
    depth = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra)
    xi = np.cos(dec) * np.sin(ra) / depth
    eta = (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra)) / depth
    return np.degrees(xi), np.degrees(eta)


def unproject(
    xi: np.ndarray, eta: np.ndarray, reference: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sky positions of points on the tangential plane: the inverse of `project`."""
    ra0, dec0 = np.radians(reference)
    xi, eta = np.radians(xi), np.radians(eta)
    depth = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.arctan2(xi, depth)
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, depth))
    return np.degrees(ra) % 360, np.degrees(dec)


def resample(
    frame: Frame, position: tuple[float, float], size: int, pixel_scale: float
) -> np.ndarray:
    """Return the frame on `size` x `size` pixels around a position, north up, east to the left.

    Fluxes are those of one pixel, so they grow with its area on the sky.
    """
    step = pixel_scale / 3600
    offset = (np.arange(size) - (size - 1) / 2) * step
    xi, eta = np.meshgrid(-offset, offset)
    x, y = sky_to_pixel(frame, *unproject(xi, eta, position))
    return lanczos(frame.pixels, x, y) * (step**2 / abs(np.linalg.det(frame.matrix)))


def lanczos(pixels: np.ndarray, x: np.ndarray, y: np.ndarray, a: int = 3) -> np.ndarray:
    """Return values between pixels by a windowed sinc of 2a x 2a pixels; zero outside."""
    left, low = np.floor(x).astype(int), np.floor(y).astype(int)
    taps = np.arange(1 - a, a + 1)
    total = np.zeros(x.shape)
    weight_x = _kernel(x[..., None] - (left[..., None] + taps), a)
    weight_y = _kernel(y[..., None] - (low[..., None] + taps), a)
    rows, columns = pixels.shape
    for j, dy in enumerate(taps):
        for i, dx in enumerate(taps):
            column, row = left + dx, low + dy
            inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
            value = pixels[row.clip(0, rows - 1), column.clip(0, columns - 1)]
            total += np.where(inside, value, 0) * weight_x[..., i] * weight_y[..., j]
    return total


def _kernel(distance: np.ndarray, a: int) -> np.ndarray:
    weights = np.sinc(distance) * np.sinc(distance / a)
    return weights / weights.sum(axis=-1, keepdims=True)
