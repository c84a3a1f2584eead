"""From the survey's own archive: query, images, cutouts. These need the internet and a login.

CasJobsQuery and DownloadFits speak plain HTTPS. Preprocess does what the paper's pipeline let SWarp
do: it resamples each band onto 64 x 64 pixels of 0.396 arcsec (both attributes) around the galaxy,
tangential projection, Lanczos-3. Left out of SWarp: the stacking of several frames, weight maps,
oversampling and background subtraction (the frames are sky-subtracted). Pixels outside of a frame
are zero.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np

from operations.fits import read_frame, resample
from operations.images import CARRIED, SDSS_NOISE, SDSS_PIXEL, encode, limits, roles

BANDS = "ugriz"
# The sample of Pasquet et al. 2019; {limit} galaxies of it.
QUERY = """
SELECT TOP {limit} za.specObjID, po.ra, po.dec, za.z AS redshift, zi.e_bv_sfd AS reddening,
  po.rerun, po.run, po.camcol, po.field
FROM SpecObjAll za
  JOIN PhotoObjAll po ON po.objID = za.bestObjID
  JOIN galSpecInfo zi ON zi.SpecObjID = za.specObjID
WHERE za.z > 0 AND za.z <= 0.4 AND za.zWarning = 0 AND za.targetType = 'SCIENCE'
  AND za.survey = 'sdss' AND za.class = 'GALAXY' AND za.primTarget >= 64 AND po.clean = 1
  AND po.insideMask = 0 AND po.petroMag_r - po.extinction_r <= 17.8
ORDER BY za.specObjID
"""
COLUMNS = ("ra", "dec", "redshift", "reddening", "rerun", "run", "camcol", "field")


def fetch(request: urllib.request.Request, tries: int = 3, pause: float = 1.0) -> bytes:
    """Return the answer to a request; a busy server and a broken connection are tried again."""
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        passing = error.code >= 500 or error.code == 429  # too many requests
        words = error.read(500).decode("utf-8", "replace").strip()
        problem = f"{error.url}: {error.code} {error.reason} {words}"
    except (OSError, http.client.HTTPException) as error:
        passing, problem = True, f"no answer from {request.full_url}: {error}"
    if not passing or tries == 1:
        raise RuntimeError(problem)
    time.sleep(pause)
    return fetch(request, tries - 1, 2 * pause)


class CasJobsQuery:
    """Asks the catalogue server of SDSS (CasJobs of SciServer, a free account).

    The login's token is read from `token_file` (readable by you alone), else from the environment
    variable SCISERVER_TOKEN; it goes into no file and no log.
    """

    def __init__(
        self,
        limit: Annotated[int, {"min": 1}] = 10_000,
        query: str = QUERY,
        context: Annotated[str, {"pattern": "[A-Za-z0-9_]+"}] = "DR12",
        url: Annotated[
            str, {"pattern": "https?://.+"}
        ] = "https://skyserver.sdss.org/CasJobs/RestApi",
        token_file: str = "~/.sciserver_token",
    ):
        self.limit = limit
        self.query = query
        self.context = context
        self.url = url
        self.token_file = token_file

    def execute(self):
        body = {"Query": self.query.format(limit=self.limit), "TaskName": "deepforge_hpc"}
        request = urllib.request.Request(
            f"{self.url}/contexts/{self.context}/query?TaskName=deepforge_hpc",
            data=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json+array",
                "X-Auth-Token": self.token(),
            },
        )
        table = json.loads(fetch(request))["Result"][0]
        absent = [name for name in COLUMNS if name not in table["Columns"]]
        if absent:
            raise RuntimeError(f"the query returns no column {', '.join(absent)}")
        columns = dict(zip(table["Columns"], zip(*table["Data"], strict=True), strict=True))
        catalogue = {name: np.array(columns[name]) for name in COLUMNS}
        catalogue["row"] = np.arange(len(catalogue["ra"]), dtype=np.int32)
        return catalogue

    def token(self) -> str:
        """Return the login's token."""
        path = Path(self.token_file).expanduser()
        if path.is_file():
            return path.read_text().strip()
        if token := os.environ.get("SCISERVER_TOKEN"):
            return token
        raise RuntimeError(
            f"no login: put the token that SciServer shows you into {path} and `chmod 600` it"
        )


class DownloadFits:
    """Downloads the five frames of each galaxy of a random sample; a frame is fetched once."""

    def __init__(
        self,
        galaxies: Annotated[int, {"min": 1}] = 10,
        seed: int = 32,
        url: Annotated[
            str, {"pattern": "https?://.+"}
        ] = "https://dr12.sdss.org/sas/dr12/boss/photoObj/frames",
        connections: Annotated[int, {"min": 1, "max": 16}] = 4,
    ):
        self.galaxies = galaxies
        self.seed = seed
        self.url = url
        self.connections = connections

    def execute(self, catalogue: h5py.File):
        count = len(catalogue["ra"])
        chosen = np.random.default_rng(self.seed).permutation(count)[: self.galaxies]
        chosen = np.sort(chosen)
        names = (*COLUMNS, "row", *(name for name in CARRIED if name in catalogue))
        sample = {name: catalogue[name][:][chosen] for name in dict.fromkeys(names)}
        sample |= limits(catalogue)
        frames = Path(os.environ.get("DFH_SCRATCH", ".")) / "frames"
        frames.mkdir(parents=True, exist_ok=True)
        wanted = sorted({item for i in range(len(chosen)) for item in self.paths(sample, i)})
        with ThreadPoolExecutor(self.connections) as pool:
            list(pool.map(lambda item: self.download(*item, frames), wanted))
        return frames, sample

    def paths(self, sample: dict, i: int) -> list[tuple[str, str]]:
        """Return folder and file name of a galaxy's frames on the server."""
        rerun, run, camcol = (int(sample[name][i]) for name in ("rerun", "run", "camcol"))
        return [
            (f"{rerun}/{run}/{camcol}", frame_name(band, run, camcol, int(sample["field"][i])))
            for band in BANDS
        ]

    def download(self, folder: str, name: str, frames: Path) -> None:
        """Fetch one file; it has its name only when it is whole."""
        target = frames / name
        if target.exists():
            return
        part = target.with_suffix(".part")
        part.write_bytes(fetch(urllib.request.Request(f"{self.url}/{folder}/{name}")))
        shutil.move(part, target)


def frame_name(band: str, run: int, camcol: int, field: int) -> str:
    """Return the survey's file name of a frame."""
    return f"frame-{band}-{run:06d}-{camcol}-{field:04d}.fits.bz2"


class Preprocess:
    """Cuts a square around each galaxy out of its frames; as RenderCutouts, but real.

    Args:
        frames: the folder of the frames.
        sample: the galaxies.
        size: pixels on a side.
        pixel_scale: arcsec a pixel; the frames' own loses least.
        noise: nanomaggies that one step near zero of the 8-bit pixels is counted in, one a band.
        test_share: of the galaxies, to judge by.
        seed: of which these are.
        cutouts: `pixels` and what is known of each galaxy.
    """

    def __init__(
        self,
        size: Annotated[int, {"min": 8}] = 64,
        pixel_scale: Annotated[float, {"min": 0.001}] = SDSS_PIXEL,
        noise: list[float] = SDSS_NOISE,
        test_share: Annotated[float, {"min": 0.0, "max": 1.0}] = 0.2,
        seed: int = 32,
    ):
        self.size, self.pixel_scale, self.noise = size, pixel_scale, noise
        self.test_share, self.seed = test_share, seed

    def execute(self, frames: Path, sample: h5py.File) -> h5py.File:
        columns = {name: sample[name][:] for name in (*COLUMNS, "row")}
        count = len(columns["ra"])
        pixels = np.empty((count, self.size, self.size, len(BANDS)), dtype=np.uint8)
        for i in range(count):
            image = self.cutout(frames, {name: c[i] for name, c in columns.items()})
            pixels[i] = encode(image, self.noise)
        cutouts = {
            "pixels": pixels,
            "reddening": columns["reddening"].astype(np.float32)[:, None],
            "train": roles(sample, self.test_share, self.seed),
            "row": columns["row"],
            "@noise": np.asarray(self.noise),
        }
        cutouts |= {name: sample[name][:] for name in CARRIED if name in sample}
        cutouts |= limits(sample)
        return cutouts

    def cutout(self, frames: Path, galaxy: dict) -> np.ndarray:
        """Return the image of one galaxy in nanomaggies: (size, size, bands)."""
        names = [
            frame_name(band, int(galaxy["run"]), int(galaxy["camcol"]), int(galaxy["field"]))
            for band in BANDS
        ]
        position = (float(galaxy["ra"]), float(galaxy["dec"]))
        bands = [
            resample(read_frame(frames / name), position, self.size, self.pixel_scale)
            for name in names
        ]
        return np.stack(bands, axis=-1)
