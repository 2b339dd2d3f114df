"""systemd itself, with nothing but amoc's unit: in namespaces of its own, as a container has it."""

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

SYSTEMD = Path("/lib/systemd/systemd")
_GROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_TARGETS = ("basic", "sysinit", "shutdown", "network-online", "multi-user", "umount", "final")
# As root of its own namespaces. /opt is where amoc is installed, as the unit has it: an interpreter
# and libraries that are somebody's home elsewhere, which the unit cannot read.
_SCRIPT = r"""
set -eu
unit=$1 sources=$2 python=$3 libraries=$4 state=$5
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
ip link set lo up
mount -t tmpfs tmpfs /opt
mkdir -p /opt/amoc/bin /opt/sources /opt/python /opt/libraries
mount --bind "$sources" /opt/sources
mount --bind "$python" /opt/python
mount --bind "$libraries" /opt/libraries
cat > /opt/amoc/bin/amoc <<'END'
#!/bin/sh
export PYTHONPATH=/opt/sources:/opt/libraries PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 -P -m amoc "$@"
END
chmod 755 /opt/amoc/bin/amoc
mount --bind "$state" /var/lib
mount -t tmpfs tmpfs /run
mkdir -p /run/units/multi-user.target.wants
cp "$unit" /run/units/
mkdir /run/units/amoc.service.d
cat > /run/units/amoc.service.d/output.conf <<'END'
[Service]
StandardOutput=append:/var/lib/amoc.log
StandardError=inherit
END
for one in TARGETS; do cp "/lib/systemd/system/$one.target" /run/units/; done
ln -s ../amoc.service /run/units/multi-user.target.wants/
exec env -i PATH="$PATH" LANG=C.UTF-8 container=test SYSTEMD_UNIT_PATH=/run/units \
    /lib/systemd/systemd --system --log-target=console --show-status=no --unit=multi-user.target
""".replace("TARGETS", " ".join(_TARGETS))


class Systemd:
    """A running systemd.

    Attributes:
        pid: Of its first process, as this host has it.
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

    def property(self, name: str) -> str:
        """A property of the unit."""
        return self.run("systemctl", "show", "--value", "--property", name, "amoc").strip()

    def wait_until_active(self) -> None:
        """Wait until it takes requests."""

        def active() -> bool:
            if "failed" in self.try_to_run("systemctl", "is-failed", "amoc").stdout:
                raise AssertionError(self.run("cat", "/var/lib/amoc.log"))
            ask = ("curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:4000/status")
            return self.try_to_run(*ask).returncode == 0

        eventually(active, "the unit serves")


def missing() -> str:
    """Why systemd cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "only root can start systemd"
    for program in ("systemctl", "unshare", "nsenter", "ip", "curl"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if _group_base() is None:
        return "there is no cgroup v2 to write to"
    tried = subprocess.run(
        [*_unshare(), "true"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    return tried.stderr.strip()


@contextmanager
def booted(state: Path, unit: Path) -> Iterator[Systemd]:
    """systemd that starts `unit`, with `state` as its /var/lib; nothing outlives the block."""
    base = _group_base()
    assert base is not None
    group = base / f"amoc-test-{os.getpid()}"
    group.mkdir()
    libraries = next(one for one in map(Path, sys.path) if (one / "gevent").is_dir())
    script = state.with_name("boot.sh")
    script.write_text(_SCRIPT)
    output = state.with_name("systemd.txt")
    command = ["bash", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), *_unshare()]
    command += ["bash", *map(str, (script, unit, ROOT, sys.base_prefix, libraries, state))]
    with output.open("wb") as file:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    try:

        def first() -> int:
            assert child.poll() is None, output.read_text()
            below = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
            found = [int(pid) for pid in below if _program_of(int(pid)) == SYSTEMD.resolve()]
            return found[0] if found else 0

        yield Systemd(eventually(first, "systemd is the first process"))
    finally:
        child.send_signal(signal.SIGKILL)  # and the namespace with all that is in it
        child.wait(DEADLINE_S)
        eventually(lambda: _removed(group), "its cgroups are gone")


def _program_of(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return None


def _unshare() -> list[str]:
    kinds = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
    return ["unshare", *kinds, "--fork", "--kill-child=KILL"]


def _group_base() -> Path | None:
    """Where a cgroup of version 2 can be made."""
    found = (one for one in _GROUPS if (one / "cgroup.procs").exists() and os.access(one, os.W_OK))
    return next((one for one in found if (one / "cgroup.controllers").exists()), None)


def _removed(group: Path) -> bool:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not group.exists()
