"""The operations for users with internet, against a local server that plays SDSS's part."""

from __future__ import annotations

import bz2
import json
import shutil
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

TOKEN = "secret-token"
GALAXIES = [
    # ra, dec, redshift, reddening, rerun, run, camcol, field
    (150.10, 2.20, 0.11, 0.02, 301, 94, 3, 12),
    (150.11, 2.21, 0.07, 0.03, 301, 94, 3, 12),
    (150.12, 2.19, 0.21, 0.01, 301, 95, 4, 7),
]
NAMES = ["ra", "dec", "redshift", "reddening", "rerun", "run", "camcol", "field"]
SCALE = 0.396 / 3600


def fits_frame(
    sources: list[tuple[float, float, float]], *, angle: float, size: int = 320
) -> bytes:
    """Return a FITS image around (150.11, 2.20) with stars (ra, dec, flux), turned by an angle."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = SCALE * np.array([[-cosine, sine], [sine, cosine]])
    cards = {
        "SIMPLE": "T", "BITPIX": -32, "NAXIS": 2, "NAXIS1": size, "NAXIS2": size,
        "CTYPE1": "'RA---TAN'", "CTYPE2": "'DEC--TAN'", "CRVAL1": 150.11, "CRVAL2": 2.20,
        "CRPIX1": size / 2, "CRPIX2": size / 2, "CD1_1": matrix[0, 0], "CD1_2": matrix[0, 1],
        "CD2_1": matrix[1, 0], "CD2_2": matrix[1, 1],
    }  # fmt: skip
    lines = [f"{name:<8}= {value!s:>20}" for name, value in cards.items()]
    lines = ["COMMENT  a slash / is no comment here", *lines, "END"]
    header = "".join(f"{line:<80}" for line in lines)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for ra, dec, flux in sources:
        # Small angles: good to 1e-3 of a pixel this near to the reference point.
        plane = [(ra - 150.11) * np.cos(np.radians(dec)), dec - 2.20]
        px, py = np.linalg.inv(matrix) @ plane + size / 2 - 1
        image += flux * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 2.0**2)) / (8 * np.pi)
    data = image.astype(">f4").tobytes()
    return header.ljust(-(-len(header) // 2880) * 2880).encode() + data.ljust(
        -(-len(data) // 2880) * 2880, b"\0"
    )


class SimulatedSdss(BaseHTTPRequestHandler):
    """Answers as CasJobs and the frame archive do; not the real thing."""

    requests: list[str]
    broken: list[str]
    """Paths that get `trouble` for an answer, as often as they stand here."""
    trouble: tuple[int, bytes, int] = (503, b"busy", 0)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(self.path)
        if self.headers["X-Auth-Token"] != TOKEN:
            self.answer(401, b"Token is not valid")
        elif "SELECT TOP 3 " not in body["Query"]:
            self.answer(400, b"Incorrect syntax")
        else:
            assert self.headers["Accept"] == "application/json+array"
            table = {"Columns": ["specObjID", *NAMES], "Data": [["1", *row] for row in GALAXIES]}
            self.answer(200, json.dumps({"Result": [table]}).encode())

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path in self.broken:
            self.broken.remove(self.path)
            self.answer(*self.trouble)
        elif "/301/94/3/frame-" in self.path or "/301/95/4/frame-" in self.path:
            band = self.path.split("frame-")[1][0]
            flux = 100.0 * (1 + "ugriz".index(band))
            stars = [(ra, dec, flux) for ra, dec, *_ in GALAXIES]
            self.answer(200, bz2.compress(fits_frame(stars, angle=0.5)))
        else:
            self.answer(404, b"no such frame")

    def answer(self, code: int, body: bytes, missing: int = 0) -> None:
        """Send a body; the last `missing` bytes of it are lost on the way."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[SimulatedSdss]]]:
    handler = type("Handler", (SimulatedSdss,), {"requests": [], "broken": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.server_port}", handler
        finally:
            found.shutdown()
            thread.join()


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return str(path)


def _query(url: str, token: str, limit: int = 3) -> dict[str, np.ndarray]:
    from operations.survey import CasJobsQuery

    found: dict[str, np.ndarray] = CasJobsQuery(limit=limit, url=url, token_file=token).execute()
    return found


def test_a_query_becomes_columns(server: tuple[str, type[SimulatedSdss]], token: str) -> None:
    catalogue = _query(server[0], token)
    assert list(catalogue["run"]) == [94, 94, 95]
    assert catalogue["redshift"] == pytest.approx([0.11, 0.07, 0.21])
    assert list(catalogue["row"]) == [0, 1, 2]
    assert server[1].requests == ["/contexts/DR12/query?TaskName=deepforge_hpc"]


def test_what_the_server_refuses_is_said_once_and_without_the_token(
    server: tuple[str, type[SimulatedSdss]], token: str
) -> None:
    with pytest.raises(RuntimeError, match="400 Bad Request Incorrect syntax") as caught:
        _query(server[0], token, limit=4)
    assert TOKEN not in str(caught.value)
    assert len(server[1].requests) == 1


def test_without_a_login_the_message_says_where_the_token_goes(
    server: tuple[str, type[SimulatedSdss]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCISERVER_TOKEN", raising=False)
    with pytest.raises(RuntimeError, match=r"put the token .* into .*nothing"):
        _query(server[0], str(tmp_path / "nothing"))
    monkeypatch.setenv("SCISERVER_TOKEN", TOKEN)
    assert len(_query(server[0], str(tmp_path / "nothing"))["ra"]) == 3


TROUBLE = {
    "busy": (503, b"busy", 0),
    "too many requests": (429, b"slow down", 0),
    "a connection that breaks": (200, b"half of a frame", 1000),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_each_frame_is_fetched_once_and_passing_trouble_is_tried_again(
    trouble: str, server: tuple[str, type[SimulatedSdss]], token: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from operations.fits import read_frame
    from operations.survey import DownloadFits

    url, handler = server
    catalogue = _query(url, token)
    handler.requests.clear()
    broken = "/301/95/4/frame-g-000095-4-0007.fits.bz2"
    handler.broken, handler.trouble = [broken, broken], TROUBLE[trouble]
    monkeypatch.setenv("DFH_SCRATCH", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda _: None)
    frames, sample = DownloadFits(galaxies=3, url=url).execute(catalogue)
    assert len(list(frames.iterdir())) == 10
    assert read_frame(frames / broken.rsplit("/", maxsplit=1)[-1]).pixels.shape == (320, 320)
    assert handler.requests.count(broken) == 3
    assert len(handler.requests) == 12
    assert list(sample["row"]) == [0, 1, 2]


def test_lasting_trouble_ends_with_the_address(
    server: tuple[str, type[SimulatedSdss]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from operations.survey import fetch

    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    url, handler = server
    handler.broken = ["/frame"] * 3
    with pytest.raises(RuntimeError, match=rf"{url}/frame: 503 Service Unavailable busy"):
        fetch(urllib.request.Request(f"{url}/frame"))
    assert pauses == [1.0, 2.0]
    with pytest.raises(RuntimeError, match=r"no answer from http://127.0.0.1:1/frame: "):
        fetch(urllib.request.Request("http://127.0.0.1:1/frame"))


def test_a_missing_frame_stops_with_its_address_and_leaves_no_half_file(
    server: tuple[str, type[SimulatedSdss]], token: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from operations.survey import DownloadFits

    catalogue = _query(server[0], token)
    catalogue["run"][2] = 96
    monkeypatch.setenv("DFH_SCRATCH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"frame-.-000096-4-0007\.fits\.bz2: 404 Not Found"):
        DownloadFits(galaxies=3, url=server[0]).execute(catalogue)
    assert not list(tmp_path.rglob("*.part"))


def test_preprocess_cuts_each_galaxy_out_of_its_frames(
    server: tuple[str, type[SimulatedSdss]], token: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from operations.images import SDSS_NOISE, decode
    from operations.survey import DownloadFits, Preprocess

    monkeypatch.setenv("DFH_SCRATCH", str(tmp_path))
    frames, sample = DownloadFits(galaxies=3, url=server[0]).execute(_query(server[0], token))
    cutouts = Preprocess(size=32, test_share=0.5).execute(frames, sample)
    assert cutouts["pixels"].shape == (3, 32, 32, 5)
    flux = decode(cutouts["pixels"], SDSS_NOISE)
    total = flux.sum((1, 2))
    assert total == pytest.approx(np.tile([100.0, 200, 300, 400, 500], (3, 1)), rel=0.03)
    y, x = np.mgrid[:32, :32]
    for image in flux[..., 2]:
        assert (image * x).sum() / image.sum() == pytest.approx(15.5, abs=0.1)
        assert (image * y).sum() / image.sum() == pytest.approx(15.5, abs=0.1)
    assert cutouts["reddening"].shape == (3, 1)
    # Pixels twice as wide hold four times the light.
    wide = Preprocess(size=16, pixel_scale=0.792).execute(frames, sample)
    total = decode(wide["pixels"], SDSS_NOISE).sum((1, 2))
    assert total == pytest.approx(np.tile([100.0, 200, 300, 400, 500], (3, 1)), rel=0.05)
    # A galaxy keeps its role, however the table is cut.
    part = Preprocess(size=8, test_share=0.5).execute(
        frames, {name: values[1:] for name, values in sample.items()}
    )
    assert np.array_equal(part["train"], cutouts["train"][1:])


def test_the_tangential_projection_keeps_angles_and_can_be_undone() -> None:
    from operations.fits import project, unproject

    rng = np.random.default_rng(1)
    reference = (359.9, 64.0)
    xi, eta = rng.uniform(-0.3, 0.3, size=(2, 50))
    ra, dec = unproject(xi, eta, reference)
    assert np.allclose(project(ra, dec, reference), (xi, eta), atol=1e-12)

    def unit(a: np.ndarray, d: np.ndarray) -> np.ndarray:
        a, d = np.radians(a), np.radians(d)
        return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])

    # Independently: the tangent of the angle to the reference point is the distance on the plane.
    centre = unit(np.array([reference[0]]), np.array([reference[1]]))
    sine = np.linalg.norm(np.cross(unit(ra, dec).T, centre.T), axis=1)
    distance = np.degrees(np.tan(np.arcsin(sine)))
    assert distance == pytest.approx(np.hypot(xi, eta), rel=1e-9)


def test_lanczos_returns_pixels_at_pixels_and_follows_a_smooth_image_between_them() -> None:
    from operations.fits import lanczos

    y, x = np.mgrid[:40, :40].astype(float)
    image = np.sin(x / 4) + np.cos(y / 5)
    assert np.allclose(lanczos(image, x, y), image, atol=1e-12)
    px, py = np.random.default_rng(1).uniform(5, 33, size=(2, 100))
    assert np.allclose(lanczos(image, px, py), np.sin(px / 4) + np.cos(py / 5), atol=0.02)
    assert lanczos(image, np.array([-50.0]), np.array([3.0])) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"RA---TAN", b"RA---SIN"), "the projection is RA---SIN"),
        ((b"END", b"EDN"), "not a FITS file"),
    ],
)
def test_a_damaged_frame_is_named(
    change: tuple[bytes, bytes], message: str, tmp_path: Path
) -> None:
    from operations.fits import read_frame

    path = tmp_path / "frame.fits"
    path.write_bytes(fits_frame([], angle=0, size=40).replace(*change))
    with pytest.raises(ValueError, match=message):
        read_frame(path)


def test_a_frame_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    from operations.fits import read_frame

    path = tmp_path / "frame.fits"
    path.write_bytes(fits_frame([], angle=0)[:-9000])
    with pytest.raises(ValueError, match="ends before its image"):
        read_frame(path)


def test_the_pipeline_for_the_survey_queries_downloads_and_cuts_out(
    server: tuple[str, type[SimulatedSdss]], token: str, example: Path, tmp_path: Path, dfh: Any
) -> None:
    project = tmp_path / "redshift"
    shutil.copytree(
        example,
        project,
        ignore=shutil.ignore_patterns(".venv", "executions", ".dfh", "__pycache__"),
    )
    file = project / "pipeline-survey.yaml"
    # One shard for each of the galaxies that the server here has.
    file.write_text(file.read_text().replace("shards: 4", f"shards: {len(GALAXIES)}"))
    settings = {"query.url": server[0], "query.limit": len(GALAXIES), "query.token_file": token}
    settings |= {"download.url": server[0], "download.galaxies": len(GALAXIES)}
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    dfh(
        "run", file.name, "--until", "preprocess", "--python", sys.executable, *options, cwd=project
    )
    jobs = project / "executions" / "redshift-survey-0001" / "jobs"
    parts = sorted(jobs.glob("preprocess.gather/outputs/cutouts/part-*.h5"))
    assert len(parts) == len(GALAXIES)
    for part, galaxy in zip(parts, GALAXIES, strict=True):
        with h5py.File(part) as cutouts:
            assert cutouts["pixels"].shape == (1, 64, 64, 5)
            assert cutouts["redshift"][0] == pytest.approx(galaxy[2])
            assert cutouts["bin"][0] == int(galaxy[2] / (0.4 / 32))
            assert (cutouts.attrs["max_redshift"], cutouts.attrs["bins_redshift"]) == (0.4, 32)
    for log in jobs.rglob("*.log"):
        assert TOKEN not in log.read_text()
