"""Small hosts: kernel namespaces for network, processes and mounts, connected by one bridge.

Each host has an IPv4 and an IPv6 address, separate processes that end with it, and sshd.
`Network.cut` pulls its cable and `Network.heal` plugs it in again; `Network.worsen` delays, loses
and reorders frames. No namespace has a name: they end with the process that holds each of them, and
that ends when its standard input does. So nothing is left behind, even if the tests are killed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.cluster import bad_cable
from tests.cluster.patience import DEADLINE_S, LONGEST_S
from tests.servers.daemon import required

PROGRAMS = ("ip", "unshare", "nsenter", "ssh", "ssh-keygen")
SSHD = "/usr/sbin/sshd"
# Orphaned children become the shell's, and must not stay zombies.
_INIT = 'trap "" CHLD; exec cat'
_NAMESPACES = ["--net", "--pid", "--mount"]
ROOT = Path(__file__).parents[2]


def available() -> None:
    """Skip the test if hosts cannot be made, or fail it if they are required."""
    missing = [one for one in PROGRAMS if shutil.which(one) is None]
    if missing or not Path(SSHD).exists():
        required(f"{', '.join(missing) or 'sshd'} not installed")
    probe = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True, timeout=DEADLINE_S
    )
    if os.geteuid() != 0 or probe.returncode:
        required("network namespaces require root")


def checked(command: Sequence[str], data: str = "") -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
    return done.stdout


class Namespace:
    """Separate namespaces for network, processes and mounts, until it is closed.

    Attributes:
        pid: Its first process, as seen from here.
    """

    def __init__(self, ahead_s: int = 0) -> None:
        """Create them; their monotonic clock is `ahead_s` ahead of ours."""
        self._kinds = [*_NAMESPACES, "--time"] if ahead_s else _NAMESPACES
        command = ["unshare", *self._kinds, "--mount-proc", "--fork", "--kill-child"]
        if ahead_s:
            command += ["--monotonic", str(ahead_s)]
        self._holder = subprocess.Popen(
            [*command, "sh", "-c", _INIT], stdin=subprocess.PIPE, start_new_session=True
        )
        self.pid = self._first_process()

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        give_up = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up and self._holder.poll() is None:
            for pid in children.read_text().split():
                # Once it is cat, its namespaces are complete and it ignores SIGCHLD.
                if Path(f"/proc/{pid}/comm").read_text().strip() == "cat":
                    return int(pid)
            time.sleep(0.005)
        raise AssertionError("no namespaces within the deadline")

    def inside(self, command: Sequence[str], env: dict[str, str] | None = None) -> list[str]:
        """Return the command line that runs `command` inside."""
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        entered = ["nsenter", "-t", str(self.pid), *self._kinds]
        return [*entered, "--", "env", *variables, *command]

    def run(self, *command: str, data: str = "") -> str:
        """Run a command inside that must succeed; return its output."""
        return checked(self.inside(command), data)

    def processes(self) -> list[str]:
        """Return the command lines of all processes inside except the first."""
        return [line for pid, line in self._command_lines() if pid != self.pid]

    def pid_of(self, pattern: str) -> int:
        """Return the pid, as seen from here, of the process inside whose command line matches."""
        for pid, line in self._command_lines():
            if re.match(pattern, line):
                return pid
        raise AssertionError(f"there is no {pattern} on this host")

    def _command_lines(self) -> Iterator[tuple[int, str]]:
        """Yield the pid, as seen from here, and the command line of each process inside."""
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/pid").readlink() == namespace:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    yield int(entry.name), line

    def close(self) -> None:
        """End all processes inside."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        try:
            self._holder.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._holder.send_signal(signal.SIGKILL)  # the kernel ends the processes inside
            self._holder.wait(DEADLINE_S)


class Host(Namespace):
    """A host on the network.

    Attributes:
        number: From 1.
        name: Its name for ssh.
        address: Its IPv4 address.
        address6: Its IPv6 address.
        home: Its home directory.
    """

    def __init__(self, number: int, home: Path, ahead_s: int = 0) -> None:
        super().__init__(ahead_s)
        self.number = number
        self.name = f"h{number}"
        self.address, self.address6 = f"10.77.0.{number}", f"fd77::{number}"
        self.home = home
        home.mkdir()

    def serve_ssh(self, keys: Path) -> None:
        """Start sshd, which accepts the key in `keys`."""
        config = self.home / "sshd_config"
        own = f"HOME={self.home} XDG_CACHE_HOME={self.home / 'cache'} TMPDIR={self.home}"
        config.write_text(
            f"HostKey {keys / 'host'}\nAuthorizedKeysFile {keys / 'user.pub'}\nStrictModes no\n"
            f"UsePAM no\nPidFile none\nPermitRootLogin yes\nMaxStartups 100\n"
            f"SetEnv {own} PATH={os.environ['PATH']} PYTHONPATH={ROOT}\n"
        )
        self.run("mount", "-t", "tmpfs", "tmpfs", "/run")
        self.run("mkdir", "-p", "/run/sshd")
        self.run(SSHD, "-f", str(config), "-E", str(self.home / "sshd.log"))


class Network:
    """Hosts on a bridge, and their cables.

    Attributes:
        hosts: All of them.
    """

    def __init__(self, count: int, directory: Path, ahead_s: int = 0) -> None:
        """Create `count` hosts, whose files go below `directory`.

        The clock of the last one is `ahead_s` ahead of the others.
        """
        self.hosts: list[Host] = []
        self._cables: list[subprocess.Popen[str]] = []
        self._switch = Namespace()
        try:
            self._switch.run("ip", "link", "add", "bridge0", "type", "bridge")
            self._switch.run("ip", "link", "set", "bridge0", "up")
            keys = self._keys(directory, count)
            for number in range(1, count + 1):
                ahead = ahead_s if number == count else 0
                host = Host(number, directory / f"h{number}", ahead)
                self.hosts.append(host)
                self._plug_in(host)
                host.run("mount", "--bind", str(keys / "client"), "/etc/ssh")
                host.serve_ssh(keys)
        except BaseException:
            self.close()
            raise

    def _keys(self, directory: Path, count: int) -> Path:
        """Write the ssh keys and the client's configuration; return their directory."""
        keys = directory / "keys"
        client = keys / "client"
        client.mkdir(parents=True)
        for name in ("host", "user"):
            checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)])
        host_key = " ".join((keys / "host.pub").read_text().split()[:2])
        known, config = [], [f"IdentityFile {keys / 'user'}\nGlobalKnownHostsFile {keys / 'known'}"]
        config.append("UserKnownHostsFile none\nStrictHostKeyChecking yes")
        for number in range(1, count + 1):
            known.append(f"10.77.0.{number},fd77::{number},h{number} {host_key}\n")
            config.append(f"Host h{number}\n    HostName 10.77.0.{number}")
        (keys / "known").write_text("".join(known))
        (client / "ssh_config").write_text("\n".join(config) + "\n")
        return keys

    def _plug_in(self, host: Host) -> None:
        port = f"port{host.number}"
        far = ["peer", "name", "eth0", "netns", str(host.pid)]
        # Inside the switch's PID namespace, the host would not be found by its pid.
        inside = ["nsenter", "-t", str(self._switch.pid), "--net", "--"]
        checked([*inside, "ip", "link", "add", port, "type", "veth", *far])
        self._switch.run("ip", "link", "set", port, "master", "bridge0", "up")
        host.run("ip", "link", "set", "lo", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "address", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        host.run("ip", "link", "set", "eth0", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self, host: Host) -> None:
        """Pull the cable of `host`."""
        self._switch.run("ip", "link", "set", f"port{host.number}", "down")

    def heal(self, host: Host) -> None:
        """Plug it in again."""
        self._switch.run("ip", "link", "set", f"port{host.number}", "up")

    def worsen(
        self, host: Host, *, delay_ms: float = 0, jitter_ms: float = 0, loss: float = 0
    ) -> Callable[[], dict[str, int]]:
        """Give `host` a worse cable (`bad_cable`), once; return a function that counts frames."""
        port, tap = f"port{host.number}", f"cable{host.number}"
        how = map(str, (delay_ms, jitter_ms, loss))
        cable = subprocess.Popen(
            self._switch.inside([sys.executable, bad_cable.__file__, port, tap, *how]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._cables.append(cable)
        assert cable.stdin is not None
        assert cable.stdout is not None
        asked, answers = cable.stdin, cable.stdout
        assert answers.readline() == "ready\n"
        self._switch.run("ip", "link", "set", port, "nomaster")
        self._switch.run("ip", "link", "set", tap, "master", "bridge0", "up")

        def counts() -> dict[str, int]:
            asked.write("\n")
            asked.flush()
            found: dict[str, int] = json.loads(answers.readline())
            return found

        return counts

    def close(self) -> None:
        """End all hosts, and with them the network."""
        for cable in self._cables:
            cable.communicate(timeout=DEADLINE_S)
        for namespace in (*self.hosts, self._switch):
            namespace.close()
