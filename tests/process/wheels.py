"""A package index of wheels in a directory, and settings that make installers use it."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest


def wheel(
    directory: Path, name: str, number: str, requires: tuple[str, ...] = (), body: str = ""
) -> Path:
    """Write a wheel with one module, whose VERSION is the wheel's version."""
    info = f"{name}-{number}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {number!r}\n{body}",
        f"{info}/METADATA": "".join(
            [
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n",
                *(f"Requires-Dist: {one}\n" for one in requires),
            ]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    records = [f"{path},{_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*records, f"{info}/RECORD,,", ""])
    path = directory / f"{name}-{number}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Wheels: `leaf` in two versions, `tree`, which needs it, and one that conflicts with amoc."""
    directory = tmp_path / "index"
    directory.mkdir()
    wheel(directory, "amoctestleaf", "1.0")
    wheel(directory, "amoctestleaf", "2.0")
    wheel(directory, "amoctesttree", "1.5", ("amoctestleaf", "click"))
    wheel(directory, "amoctestquarrel", "1.0", ("click<8",))
    wheel(directory, "click", version("click"), body="raise SystemExit('not this one')")
    return directory


@contextmanager
def served(directory: Path) -> Iterator[Mapping[str, str]]:
    """Serve the wheels over HTTP with hashes; yield variables that make uv use only these."""
    simple = directory.parent / "simple"
    for file in directory.iterdir():
        page = simple / file.name.partition("-")[0] / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        with page.open("a") as out:
            out.write(f'<a href="/{directory.name}/{file.name}#sha256={digest}">{file.name}</a>\n')
    handler = partial(_Quiet, directory=str(directory.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {"UV_DEFAULT_INDEX": f"http://127.0.0.1:{server.server_port}/simple/"}
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def environment(index: Path, cache: Path, installer: str) -> Mapping[str, str]:
    """Return variables that make an installer use only that index and only `cache`."""
    return {
        "AMOC_INSTALLER": installer,
        "XDG_CACHE_HOME": str(cache),
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(index),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
    }
