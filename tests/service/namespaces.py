"""amoc in separate namespaces, installed in /opt, as in a package or an image."""

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

# Takes a root directory, and mounts the interpreter and libraries in its /opt: where they are now,
# for example in a home directory, other users may be unable to read them.
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
    """Namespaces with running processes.

    Attributes:
        pid: The pid of their first process, as seen from this host.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def try_to_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside; return its result."""
        inside = ("nsenter", "-t", str(self.pid), "-m", "-p", "-n", "--", *command)
        return subprocess.run(
            inside, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def run(self, *command: str) -> str:
        """Run a command inside, which must succeed; return its output."""
        done = self.try_to_run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def missing(*programs: str) -> str:
    """Return why namespaces cannot be created here; empty if they can."""
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
    """Run a script in new namespaces, which end with the block; wait until it executes `program`.

    Args:
        script: A shell script; it has the variables that `INSTALL` needs.
        program: The program that it finally executes.
        arguments: Arguments of the script.
        first: A command that executes the command given as its arguments.
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
        # Kill the first process, and with it everything in the namespace; `unshare` reaps it and
        # exits. Killing `unshare` is not enough: the kernel drops --kill-child when the process
        # changes to another user.
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
