"""amoc in namespaces of its own, installed in /opt, as a package or an image has it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.process.support import DEADLINE_S, ROOT, eventually

# Takes a root directory. /opt in there has an interpreter and libraries that are somebody's home
# elsewhere, and that nobody else can read there.
INSTALL = r"""
install_amoc() {
    mount -t tmpfs tmpfs "$1/opt"
    mkdir -p "$1/opt/amoc/bin" "$1/opt/sources" "$1/opt/python" "$1/opt/libraries"
    mount --bind "$sources" "$1/opt/sources"
    mount --bind "$python" "$1/opt/python"
    mount --bind "$libraries" "$1/opt/libraries"
    cat > "$1/opt/amoc/bin/amoc" <<'END'
#!/bin/sh
export PYTHONPATH=/opt/sources:/opt/libraries PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 -P -m amoc "$@"
END
    chmod 755 "$1/opt/amoc/bin/amoc"
}
"""


class Inside:
    """Namespaces in which something runs.

    Attributes:
        pid: Of their first process, as this host has it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def try_to_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """How a command ends in there."""
        inside = ("nsenter", "-t", str(self.pid), "-m", "-p", "-n", "--", *command)
        return subprocess.run(
            inside, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def run(self, *command: str) -> str:
        """What a command prints in there, which must end well."""
        done = self.try_to_run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def missing(*programs: str) -> str:
    """Why there can be no namespaces here; empty if there can."""
    for program in ("unshare", "nsenter", "ip", "curl", "setpriv", *programs):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    tried = subprocess.run(
        [*_unshare(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return tried.stderr.strip()


@contextmanager
def unshared(
    script: Path, program: Path, *arguments: object, first: tuple[str, ...] = ()
) -> Iterator[Inside]:
    """A script in namespaces of its own, once it has become `program`; they end with the block.

    Args:
        script: Its variables `sources`, `python` and `libraries` are what `INSTALL` needs.
        program: What it executes in the end.
        arguments: Of the script.
        first: A command that executes another one, which is given to it.
    """
    libraries = next(one for one in map(Path, sys.path) if (one / "gevent").is_dir())
    script.write_text(
        f"set -eu\nsources={ROOT}\npython={sys.base_prefix}\nlibraries={libraries}\n"
        + INSTALL
        + script.read_text()
    )
    output = script.with_suffix(".txt")
    with output.open("wb") as file:
        child = subprocess.Popen(
            [*first, *_unshare(), "bash", str(script), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )

    def below() -> list[int]:
        found = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        return [int(pid) for pid in found]

    try:

        def begun() -> int:
            assert child.poll() is None, output.read_text()
            return next((pid for pid in below() if _program_of(pid) == program.name), 0)

        yield Inside(eventually(begun, f"{program} is the first process"))
    finally:
        # The first process, with all that is in the namespace; `unshare` reaps it and ends. To kill
        # that instead is not enough: the kernel forgets --kill-child when the process takes another
        # user's place.
        with suppress(FileNotFoundError):
            for pid in below():
                os.kill(pid, signal.SIGKILL)
        try:
            child.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(DEADLINE_S)
            raise


def _program_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def _unshare() -> list[str]:
    kinds = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
    return ["unshare", *kinds, "--fork", "--kill-child=KILL"]
