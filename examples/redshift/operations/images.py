"""Cutouts of galaxies, rendered from catalogue magnitudes: any bands, any survey's pixels."""

from __future__ import annotations

import math
from typing import Annotated

import h5py
import numpy as np

# Of the size of an SDSS frame's, in u, g, r, i, z. A nanomaggy is the flux of magnitude 22.5.
SDSS_NOISE = [0.050, 0.016, 0.027, 0.043, 0.160]  # nanomaggies a pixel
SDSS_ELECTRONS = [150.0, 1300.0, 1000.0, 700.0, 130.0]  # for each nanomaggy
SDSS_PIXEL = 0.396  # arcsec
SDSS_BULGE = [0.6, 0.8, 1.0, 1.1, 1.15]  # bulges are redder than discs

# Eight bits a pixel: arcsinh of the flux in units of the sky noise. The networks undo this with a
# Rescaling layer, so that a model carries the scale of its input with it.
LEVELS, ZERO = 24, 56
CARRIED = ("redshift", "bin", "errors")
"""Columns that go along if the table has them."""


def encode(flux: np.ndarray, noise: list[float]) -> np.ndarray:
    """Return images in nanomaggies (..., bands) as 8-bit arcsinh-scaled pixels."""
    scaled = np.rint(np.arcsinh(flux / np.float32(noise)) * LEVELS + ZERO)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def decode(pixels: np.ndarray, noise: list[float] | np.ndarray) -> np.ndarray:
    """Return 8-bit pixels as nanomaggies, as far as they tell."""
    return np.sinh((pixels.astype(float) - ZERO) / LEVELS) * np.asarray(noise)


def side_by_side(table: h5py.File, names: list[str]) -> np.ndarray:
    """Return columns of one or several numbers a row as one array: (n, numbers)."""
    if absent := [name for name in names if name not in table]:
        has = ", ".join(sorted(name for name in table if name[:1] != "@"))
        raise ValueError(f"the table has no {', '.join(absent)}; it has {has}")
    return np.column_stack([table[name][:] for name in names])


def roles(table: h5py.File, test_share: float, seed: int) -> np.ndarray:
    """Return 1 for galaxies to learn from, 0 for those to judge by: the table's own, or drawn.

    Drawn by the galaxy, so that it keeps its role however the table is cut.
    """
    if "train" in table:
        return table["train"][:]
    chance = [np.random.default_rng([seed, row]).random() for row in table["row"][:]]
    return (np.array(chance) >= test_share).astype(np.uint8)


class RenderCutouts:
    """Draws each galaxy as a bulge and a disc that hold the flux of its real magnitudes.

    Shape, size and orientation are random; they depend on the apparent magnitude and the colour,
    never on the redshift. Each galaxy has its own random numbers, by its `row`, so results do not
    depend on how the catalogue is cut into shards. Lists have a value for each band.

    Args:
        table: with `row`, whole numbers that name the galaxies, and the columns named below;
            `redshift`, `bin` and `errors` go along, and `train` (1 to learn from, 0 to judge by).
        magnitudes: columns of the magnitudes, in the order of the bands; AB, zero point 22.5 for a
            nanomaggy.
        reddening: column of the Galactic reddening E(B-V) in magnitudes, 0 without; it is handed on
            to networks that take it, and not drawn.
        size: pixels on a side.
        pixel_scale: arcsec a pixel.
        seeing: full width at half maximum, in arcsec.
        noise: of the sky, in nanomaggies a pixel (one sigma).
        electrons: for each nanomaggy; they make the noise of the galaxy's own light.
        bulge: flux of bulges by band, relative to that of discs of the same colour.
        colour: two bands, by their numbers from 0; their difference says how much is bulge, the
            magnitude in the second how large the galaxy is.
        red: that difference, in magnitudes, where half of a galaxy is bulge.
        test_share: of the galaxies, to judge by, where the table has no `train`.
        seed: of shapes and noise.
        cutouts: `pixels` (size x size x bands, 8 bits), `magnitudes`, and what goes along.
    """

    def __init__(
        self,
        magnitudes: list[str] = ["magnitudes"],  # noqa: B006 - read, never changed
        reddening: str = "",
        size: Annotated[int, {"min": 8}] = 64,
        pixel_scale: Annotated[float, {"min": 0.001}] = SDSS_PIXEL,
        seeing: Annotated[float, {"min": 0.001}] = 1.3,
        noise: list[float] = SDSS_NOISE,
        electrons: list[float] = SDSS_ELECTRONS,
        bulge: list[float] = SDSS_BULGE,
        colour: list[int] = [0, 2],  # noqa: B006
        red: float = 2.2,
        test_share: Annotated[float, {"min": 0.0, "max": 1.0}] = 0.2,
        seed: int = 1,
    ):
        self.names, self.reddening, self.size = magnitudes, reddening, size
        self.pixel_scale, self.noise, self.electrons = pixel_scale, noise, electrons
        self.bulge, self.colour, self.red = bulge, colour, red
        self.test_share, self.seed = test_share, seed
        pixel = np.arange(size, dtype=np.float32)
        sigma = seeing / 2.355 / pixel_scale
        distance = np.abs(pixel[:, None] - pixel) / sigma
        # Far wings are exact zeros: denormal numbers make the products 20 times slower.
        self.seeing = np.where(distance < 5, np.exp(-(distance**2) / 2), 0).astype(np.float32)

    def execute(self, table: h5py.File) -> h5py.File:
        magnitudes, rows = self.checked(side_by_side(table, self.names)), self.named(table)
        count, bands = magnitudes.shape
        pixels = np.empty((count, self.size, self.size, bands), dtype=np.uint8)
        for i, row in enumerate(rows):
            image = self.render(magnitudes[i], np.random.default_rng([self.seed, row]))
            pixels[i] = encode(image, self.noise)
        dust = side_by_side(table, [self.reddening]) if self.reddening else np.zeros((count, 1))
        cutouts = {
            "pixels": pixels,
            "magnitudes": magnitudes,
            "reddening": dust.astype(np.float32),
            "train": roles(table, self.test_share, self.seed),
            "row": rows,
            "@noise": np.asarray(self.noise),
        }
        cutouts |= {name: table[name][:] for name in CARRIED if name in table}
        cutouts |= limits(table)
        return cutouts

    def checked(self, magnitudes: np.ndarray) -> np.ndarray:
        """Return magnitudes that can be drawn; ValueError of a number that stands for none."""
        bands = magnitudes.shape[1]
        for name in ("noise", "electrons", "bulge"):
            if len(getattr(self, name)) != bands:
                message = f"{name} has {len(getattr(self, name))} values, and there are {bands}"
                raise ValueError(f"{message} bands: set the attribute {name}")
            if min(getattr(self, name)) <= 0:
                raise ValueError(f"{name} must be above 0 in each band: {getattr(self, name)}")
        if len(self.colour) != 2 or not all(0 <= band < bands for band in self.colour):
            raise ValueError(f"colour {self.colour}: two bands of 0 to {bands - 1}")
        odd = ~((magnitudes > 0) & (magnitudes < 40))  # NaN is odd too
        if odd.any():
            count = int(odd.any(axis=1).sum())
            raise ValueError(
                f"{count} galaxies have a magnitude that is none, as {magnitudes[odd][0]:g}: leave "
                "them out before (Load has `missing: drop`; write what stands for no value as NaN)"
            )
        return magnitudes

    def named(self, table: h5py.File) -> np.ndarray:
        """Return the names of the galaxies; ValueError of what is no whole number from 0."""
        rows = table["row"][:]
        if rows.dtype.kind not in "iu" or (len(rows) and rows.min() < 0):
            raise ValueError("row names the galaxies by whole numbers from 0, and this table's not")
        return rows

    def render(self, magnitudes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one image in nanomaggies, with noise: (size, size, bands), float32."""
        blue, bright = (float(magnitudes[band]) for band in self.colour)
        redness = 1 / (1 + math.exp(-(blue - bright - self.red) / 0.3))
        bulge_share = 0.8 * min(max(redness + 0.15 * rng.normal(), 0), 1)
        radius = 2.6 * 10 ** (-0.13 * (bright - 17)) * math.exp(0.25 * rng.normal())  # arcsec
        radius = min(max(radius, 0.8), 6.0) / self.pixel_scale
        profiles = self.profiles(radius, rng.uniform(0, math.pi), rng.uniform(0.3, 1), rng)

        flux = 10 ** (0.4 * (22.5 - magnitudes))
        share = np.clip(bulge_share * np.array(self.bulge), 0, 1)
        image = profiles @ np.float32([flux * (1 - share), flux * share])
        noise = np.sqrt(np.float32(self.noise) ** 2 + image / np.float32(self.electrons))
        return image + noise * rng.standard_normal(image.shape, dtype=np.float32)

    def profiles(
        self, radius: float, angle: float, axis_ratio: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Return disc and bulge as seen through the atmosphere, each with a sum of 1."""
        centre = np.float32((self.size - 1) / 2 + rng.uniform(-1, 1, size=2))
        y, x = np.mgrid[: self.size, : self.size].astype(np.float32) - centre[:, None, None]
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        disc = np.exp(-1.68 / radius * np.sqrt(along**2 + (across / axis_ratio) ** 2))
        roundish = (1 + axis_ratio) / 2
        distance = np.sqrt(along**2 + (across / roundish) ** 2 + 0.25) / (0.6 * radius)
        bulge = np.exp(-7.67 * np.sqrt(np.sqrt(distance)))
        seen = self.seeing @ np.stack([disc, bulge]) @ self.seeing
        return np.moveaxis(seen / seen.sum(axis=(1, 2), keepdims=True), 0, -1)


def limits(table: h5py.File) -> dict[str, float]:
    """Return what the bins of the redshifts mean, as `Bin` wrote it, for those who predict."""
    found = getattr(table, "attrs", {})
    if isinstance(table, dict):
        found = {name[1:]: value for name, value in table.items() if name[:1] == "@"}
    of_bins = ("min_", "max_", "bins_")
    return {f"@{name}": value for name, value in found.items() if name.startswith(of_bins)}
