"""Cutouts of galaxies: 64 x 64 pixels in five bands, rendered from catalogue magnitudes."""

from __future__ import annotations

import math

import h5py
import numpy as np

# Of the size of an SDSS frame's, in u, g, r, i, z. A nanomaggy is the flux of magnitude 22.5.
SKY_NOISE = np.array([0.050, 0.016, 0.027, 0.043, 0.160])  # nanomaggies a pixel
ELECTRONS = np.array([150, 1300, 1000, 700, 130])  # for each nanomaggy
PIXEL_SCALE = 0.396  # arcsec
SEEING = 1.3  # arcsec, full width at half maximum
BULGE_COLOUR = np.array([0.6, 0.8, 1.0, 1.1, 1.15])  # bulges are redder than discs

# Eight bits a pixel: arcsinh of the flux in units of the sky noise. The networks undo this with a
# Rescaling layer, so that a model carries the scale of its input with it.
LEVELS, ZERO = 24, 56


def encode(flux: np.ndarray) -> np.ndarray:
    """Return images in nanomaggies (..., 5) as 8-bit arcsinh-scaled pixels."""
    scaled = np.rint(np.arcsinh(flux / np.float32(SKY_NOISE)) * LEVELS + ZERO)
    return np.clip(scaled, 0, 255).astype(np.uint8)


class RenderCutouts:
    """Draws each galaxy as a bulge and a disc that hold the flux of its real magnitudes.

    Shape, size and orientation are random; they depend on the apparent magnitude and the colour,
    never on the redshift. Each galaxy has its own random numbers, so results do not depend on how
    the catalogue is cut into shards.
    """

    def __init__(self, size: int = 64, seed: int = 1):
        self.size = size
        self.seed = seed
        pixel = np.arange(size, dtype=np.float32)
        sigma = SEEING / 2.355 / PIXEL_SCALE
        distance = np.abs(pixel[:, None] - pixel) / sigma
        # Far wings are exact zeros: denormal numbers make the products 20 times slower.
        self.seeing = np.where(distance < 5, np.exp(-(distance**2) / 2), 0).astype(np.float32)

    def execute(self, table: h5py.File):
        magnitudes = table["magnitudes"][:]
        rows = table["row"][:]
        pixels = np.empty((len(rows), self.size, self.size, 5), dtype=np.uint8)
        for i, row in enumerate(rows):
            pixels[i] = encode(self.render(magnitudes[i], np.random.default_rng([self.seed, row])))
        cutouts = {
            "pixels": pixels,
            "reddening": np.zeros((len(rows), 1), dtype=np.float32),  # no dust is drawn
            "redshift": table["redshift"][:],
            "train": table["train"][:],
            "row": rows,
        }
        return cutouts

    def render(self, magnitudes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one image in nanomaggies, with noise: (size, size, 5), float32."""
        u, _, r, _, _ = magnitudes.tolist()
        redness = 1 / (1 + math.exp(-(u - r - 2.2) / 0.3))
        bulge_share = 0.8 * min(max(redness + 0.15 * rng.normal(), 0), 1)
        radius = 2.6 * 10 ** (-0.13 * (r - 17)) * math.exp(0.25 * rng.normal())  # arcsec
        radius = min(max(radius, 0.8), 6.0) / PIXEL_SCALE
        profiles = self.profiles(radius, rng.uniform(0, math.pi), rng.uniform(0.3, 1), rng)

        flux = 10 ** (0.4 * (22.5 - magnitudes))
        share = np.clip(bulge_share * BULGE_COLOUR, 0, 1)
        image = profiles @ np.float32([flux * (1 - share), flux * share])
        noise = np.sqrt(np.float32(SKY_NOISE**2) + image / np.float32(ELECTRONS))
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
