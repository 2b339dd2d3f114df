"""The real systemd with only amoc's unit, in separate namespaces, as in a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.process.support import eventually
from tests.service import namespaces
from tests.service.namespaces import Inside

SYSTEMD = Path("/lib/systemd/systemd")
_GROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_TARGETS = ("basic", "sysinit", "shutdown", "network-online", "multi-user", "umount", "final")
_SCRIPT = r"""
unit=$1 state=$2
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
ip link set lo up
install_amoc ""
mount --bind "$state" /var/lib
mount -t tmpfs tmpfs /var/cache
mount -t tmpfs tmpfs /run
mkdir -p /run/units/multi-user.target.wants /run/units/amoc.service.d
cp "$unit" /run/units/
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


class Systemd(Inside):
    """A running systemd."""

    def property(self, name: str) -> str:
        """Return a property of the unit."""
        return self.run("systemctl", "show", "--value", "--property", name, "amoc").strip()

    def wait_until_active(self) -> None:
        """Wait until it accepts requests."""

        def active() -> bool:
            if "failed" in self.try_to_run("systemctl", "is-failed", "amoc").stdout:
                raise AssertionError(self.run("cat", "/var/lib/amoc.log"))
            ask = ("curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:4000/status")
            return self.try_to_run(*ask).returncode == 0

        eventually(active, "the unit serves")


def missing() -> str:
    """Return why systemd cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "only root can start systemd"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if _group_base() is None:
        return "there is no cgroup v2 to write to"
    return namespaces.missing("systemctl")


@contextmanager
def booted(state: Path, unit: Path) -> Iterator[Systemd]:
    """Run systemd with `unit`, and `state` as its /var/lib; no process outlives the block."""
    base = _group_base()
    assert base is not None
    group = base / f"amoc-test-{os.getpid()}"
    group.mkdir()
    script = state.with_name("boot.sh")
    script.write_text(_SCRIPT)
    join = ("bash", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group))
    try:
        with namespaces.unshared(script, SYSTEMD, unit, state, first=join) as inside:
            yield Systemd(inside.pid)
    finally:
        eventually(lambda: _removed(group), "its cgroups are gone")


def _group_base() -> Path | None:
    """Return a directory in which a version 2 cgroup can be created."""
    found = (one for one in _GROUPS if (one / "cgroup.procs").exists() and os.access(one, os.W_OK))
    return next((one for one in found if (one / "cgroup.controllers").exists()), None)


def _removed(group: Path) -> bool:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not group.exists()
