"""The installers: uv if available, otherwise pip. Each resolves, and installs what was resolved.

They read their own configuration and environment, so custom indexes are set there as usual.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import ResourceError, ScenarioError
from amoc.base.redaction import HIDDEN
from amoc.base.text import printable
from amoc.install.lock_file import Pin, UvLock, pins

CHOICE = "AMOC_INSTALLER"
MAX_LINES = 25
MAX_OUTPUT = 1 << 16
_HERE = str(Path(__file__).resolve().parents[2])
# Not preexec_fn: with it Python runs its hooks around a fork, which swallow a Ctrl-C.
_START = (
    f"import os, sys; sys.path.append({_HERE!r}); from amoc.base import process;"
    " process.die_with(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
)
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


class Installer(Protocol):
    """A program that resolves and installs."""

    name: str

    def resolve(self, requirements: Path, constraints: Path, work: Work) -> tuple[Pin, ...]:
        """Return everything the requirements resolve to, with hashes as far as they are known."""
        ...

    def install(self, resolved: Path, target: Path, work: Work) -> None:
        """Install exactly the contents of a file into directory `target`."""
        ...


@dataclass(frozen=True)
class Work:
    """A task for an installer.

    Attributes:
        what: What is resolved or installed, for messages.
        directory: For the installer's files, and nothing else.
        place: The scenario's directory, to which its paths are relative.
        give_up_ns: The deadline.
        timeout_s: The time it was given.
    """

    what: str
    directory: Path
    place: Path
    give_up_ns: int
    timeout_s: float

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run an installer to its end.

        Raises:
            ScenarioError: It fails; the message includes its output.
            ResourceError: It cannot be started, or takes too long.
        """
        if shutil.which(command[0]) is None:
            raise ResourceError(f"{name} cannot be started: there is no program {command[0]}")
        output = self.directory / "output.txt"
        with output.open("wb") as file:
            child = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.place,
                env={**os.environ, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"},
                process_group=0,
            )
        try:
            status = child.wait(max(0.0, (self.give_up_ns - now_ns()) / S_NS))
        except subprocess.TimeoutExpired:
            raise ResourceError(
                f"{self.what} could not be installed within {format_duration(self.timeout_s)}"
                f" (--install-timeout): {_last(name, self._words(output))}"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # including processes that build a package
            child.wait()
        if status:
            told = "\n".join(f"  {line}" for line in self._words(output))
            raise ScenarioError(f"{self.what} cannot be installed: {name} says\n{told}")

    def _words(self, output: Path) -> list[str]:
        """Return the last output of an installer, without passwords and our own directory."""
        with output.open("rb") as file:
            file.seek(max(0, output.stat().st_size - MAX_OUTPUT))
            text = file.read().decode(errors="replace").replace(f"{self.directory}/", "")
        lines = [printable(line.rstrip()) for line in hidden(text).splitlines() if line.strip()]
        return lines[-MAX_LINES:]


def _last(name: str, lines: Sequence[str]) -> str:
    return f"{name}'s last output: {lines[-1].strip()}" if lines else f"{name} printed nothing"


def hidden(text: str) -> str:
    """Hide user names and passwords in URLs in `text`: either may be a token."""
    return _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)


class Uv:
    """uv: https://docs.astral.sh/uv."""

    name = "uv"

    def __init__(self, program: str) -> None:
        self._program = program

    def resolve(self, requirements: Path, constraints: Path, work: Work) -> tuple[Pin, ...]:
        """Return everything the requirements resolve to."""
        resolved = work.directory / "resolved.txt"
        options = ("--generate-hashes", "--no-header", "--no-annotate", "--quiet")
        self._run(
            work,
            *("compile", str(requirements), "--constraints", str(constraints), *options),
            *("--output-file", str(resolved)),
        )
        return pins(_without_options(resolved.read_text()))

    def exported(self, lock: UvLock, work: Work) -> tuple[Pin, ...]:
        """Return the contents of uv's lock of a script for this Python and host, with hashes."""
        everything, chosen = work.directory / "locked.txt", work.directory / "chosen.txt"
        plain = ("--no-header", "--no-annotate", "--quiet", "--python", sys.executable)
        command = ("export", "--script", str(lock.script.resolve()), "--locked", *plain)
        form = ("--format", "requirements.txt", "--output-file", str(everything))
        work.run("uv", [self._program, *command, *form])
        # This includes other hosts' requirements; without hashes uv tells which are for this one.
        names = work.directory / "names.in"
        locked = pins(_without_options(everything.read_text()))
        names.write_text("".join(f"{one.line.partition(' --hash')[0]}\n" for one in locked))
        self._run(
            work, "compile", str(names), "--no-deps", *plain[:3], "--output-file", str(chosen)
        )
        wanted = {one.name for one in pins(_without_options(chosen.read_text()))}
        return tuple(one for one in locked if one.name in wanted)

    def install(self, resolved: Path, target: Path, work: Work) -> None:
        """Install the contents of a file."""
        options = ("--no-deps", "--compile-bytecode", "--quiet")
        self._run(
            work, "install", "--target", str(target), *options, "--requirements", str(resolved)
        )

    def _run(self, work: Work, command: str, *arguments: str) -> None:
        work.run("uv", [self._program, "pip", command, "--python", sys.executable, *arguments])


class Pip:
    """pip, run by amoc's own Python."""

    name = "pip"

    def resolve(self, requirements: Path, constraints: Path, work: Work) -> tuple[Pin, ...]:
        """Return everything the requirements resolve to."""
        report = work.directory / "report.json"
        self._run(
            work,
            *("--dry-run", "--ignore-installed", "--report", str(report)),
            *("--requirement", str(requirements), "--constraint", str(constraints)),
        )
        found = json.loads(report.read_text())["install"]
        return pins("".join(f"{_pin(one)}\n" for one in found))

    def install(self, resolved: Path, target: Path, work: Work) -> None:
        """Install the contents of a file."""
        options = ("--no-deps", "--no-warn-conflicts", "--no-warn-script-location")
        self._run(work, "--target", str(target), *options, "--requirement", str(resolved))

    def _run(self, work: Work, *arguments: str) -> None:
        # Not --quiet, which would also hide why versions conflict.
        plain = ("--progress-bar=off", "--disable-pip-version-check", "--no-input", "--no-color")
        work.run("pip", [sys.executable, "-P", "-m", "pip", "install", *plain, *arguments])


def _pin(item: dict[str, dict[str, object]]) -> str:
    """Convert an entry of pip's report to a line: ``name==1.2 --hash=sha256:…``."""
    metadata, source = item["metadata"], item["download_info"]
    url = str(source.get("url", ""))
    archive = source.get("archive_info")
    hashes = archive.get("hashes", {}) if isinstance(archive, dict) else {}
    digest = hashes.get("sha256") or _digest_of(url)
    where = f" @ {url}" if item.get("is_direct") else f"=={metadata['version']}"
    return f"{metadata['name']}{where}{f' --hash=sha256:{digest}' if digest else ''}"


def _digest_of(url: str) -> str:
    """Return the digest of a local file, for which pip reports none."""
    from urllib.parse import unquote, urlsplit

    path = Path(unquote(urlsplit(url).path))
    if not url.startswith("file:") or not path.is_file():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without_options(text: str) -> str:
    """Return the text of a requirements file without options such as an index."""
    return "".join(
        line for line in text.splitlines(keepends=True) if not re.match(r"-(-(?!hash)|[a-z])", line)
    )


def choose() -> Installer:
    """Return the available installer, or the one in `CHOICE`: ``uv``, ``pip``, or a path to uv.

    Raises:
        ResourceError: There is none.
    """
    wanted = os.environ.get(CHOICE, "")
    if wanted not in ("", "uv", "pip"):
        return Uv(wanted)
    for name, find in _FINDERS.items():
        if wanted in ("", name) and (found := find()) is not None:
            return found
    raise ResourceError(
        f"the scenario's dependencies cannot be installed: {wanted or 'neither uv nor pip'} is"
        f" {'not ' if wanted else ''}installed (pip install uv)"
    )


def _uv() -> Installer | None:
    with suppress(ImportError, OSError):
        from uv import find_uv_bin  # the package brings the program

        return Uv(find_uv_bin())
    program = shutil.which("uv")
    return Uv(program) if program else None


def _pip() -> Installer | None:
    return Pip() if importlib.util.find_spec("pip") is not None else None


_FINDERS: dict[str, Callable[[], Installer | None]] = {"uv": _uv, "pip": _pip}
