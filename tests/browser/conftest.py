"""A real Chromium, driven through ChromeDriver over plain HTTP."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One session of a browser."""

    def __init__(self, port: int, profile: Path, chromium: str) -> None:
        self._base = f"http://127.0.0.1:{port}"
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"], "binary": chromium}
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        body = {"capabilities": {"alwaysMatch": capabilities}}
        self._session = self._call("POST", "/session", body)["sessionId"]

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        try:
            with _NO_PROXY.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:2000]) from error

    def _send(self, command: str, body: object) -> Any:
        return self._call("POST", f"/session/{self._session}/{command}", body)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Run a command of the DevTools protocol."""
        return self._send("goog/cdp/execute", {"cmd": command, "params": parameters})

    def show(self, page: Path, width: int, height: int, *, dark: bool = False) -> None:
        """Open a file on a screen of this size; forget what the console said before."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        self.console()
        self._send("url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        """Return what a function body of JavaScript returns."""
        return self._send("execute/sync", {"script": script, "args": []})

    def console(self) -> list[str]:
        """Return what the browser complained of since the last call."""
        return [entry["message"] for entry in self._send("se/log", {"type": "browser"})]

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Save what the screen shows, or the whole page."""
        data = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def quit(self) -> None:
        self._call("DELETE", f"/session/{self._session}")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    folder = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen(
        [driver, f"--port={port}", f"--log-path={folder / 'driver.log'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HOME": str(folder)},  # Chromium writes there beside its profile
    )
    try:
        _wait_for(port, process)
        session = Browser(port, folder / "profile", chromium)
        try:
            yield session
        finally:
            session.quit()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port):
            return
        time.sleep(0.05)
    pytest.fail("ChromeDriver did not start")


def _answers(port: int) -> bool:
    try:
        with _NO_PROXY.open(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
            return bool(json.load(answer)["value"]["ready"])
    except OSError:
        return False


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for screenshots; `--basetemp` says where it lies."""
    return tmp_path_factory.mktemp("shots")
