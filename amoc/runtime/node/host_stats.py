"""What a node's host has left: cores, memory, ephemeral ports, file descriptors.

All of it is read from ``/proc`` and from the control groups that the node runs in, where a limit of
a container shows. What cannot be read counts as 0, and 0 means "not known": a load test runs out of
descriptors, and then this must not be what fails.

All of it takes some 0.1 ms a second. Two files grow with the number of sockets: the list of
descriptors on Linux before 6.2, which is then read seldom, and the table of connections. That one
takes 3 ms for a thousand, so it is read by a thread, and only while so many ports may be in use
that it matters: they cannot have become more than there are new sockets.

*Ports.* A connection needs a local port that no other connection from the same source address to
the same destination (address and port) uses. So what counts is the fullest such pair. Ports that
wait for late packets (TIME_WAIT) count, unless the kernel gives them out again.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from amoc.base.clock import S_NS, now_ns
from amoc.base.proc_files import ProcFiles
from amoc.metrics.health_figures import NodePoint

LOOK_NS = 5 * S_NS
"""How long what is dear to read stays as it was found."""
MANY_FDS = 1_000
"""Descriptors beyond which listing them is dear."""
PORTS_MATTER = 0.5
"""Sockets as a share of the ephemeral ports, below which nobody looks how many of them are used."""
_UNLIMITED = 1 << 60
"""Bytes: control groups write a limit of about 2**63 where there is none."""
_MEM_TOTAL = re.compile(rb"^MemTotal: +(\d+) kB", re.MULTILINE)
_MEM_AVAILABLE = re.compile(rb"^MemAvailable: +(\d+) kB", re.MULTILINE)
_LISTENING, _TIME_WAIT = b"0A", b"06"
_SOCKET = re.compile(
    rb"^ *\d+: ([0-9A-F]{8,32}):([0-9A-F]{4}) ([0-9A-F]{8,32}:[0-9A-F]{4}) ([0-9A-F]{2})",
    re.MULTILINE,
)
_LOOPBACK = re.compile(rb"(?:[0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F):")


class HostStats:
    """Probes of the host that this process runs on.

    `figures` says how it was since the call before, so it is for one caller.

    Attributes:
        counts_fds: Whether the kernel says how many descriptors a process has open; if not, they
            must be listed.
    """

    def __init__(self, proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> None:
        """Look at this host, or at what two directories say in its place."""
        self._proc = proc
        self._read = ProcFiles().read
        groups = _groups(self._read(f"{proc}/self/cgroup"), Path(cgroups))
        # A limit that is set during the run is not seen: looking for one is dearer than reading it.
        self._limiting_cpu = [group for group in groups if _quota_used(group, self._read)]
        self._limiting_memory = [group for group in groups if _group_memory(group, self._read)]
        self._cores = os.sched_getaffinity(0)
        self._before: list[tuple[int, int] | None] = []
        self._ports = _Ports(self._count_ports)
        self._fds: dict[int, _Seldom] = {}
        self.counts_fds = self._fds_by_size(os.getpid()) > 0  # Linux 6.2 and later
        self._cpu()  # the first call has something to be compared with

    def figures(self) -> NodePoint:
        """How the host is, without a name; CPU is that of the time since the call before."""
        memory_bytes, free_bytes = self._memory()
        ports = port_range(self._read(f"{self._proc}/sys/net/ipv4/ip_local_port_range"))
        return NodePoint(
            name="",
            cpu=self._cpu(),
            memory_bytes=memory_bytes,
            memory_free_bytes=free_bytes,
            ports=len(ports),
            ports_used=self._ports.used(self._sockets(), int(len(ports) * PORTS_MATTER)),
        )

    def fds(self, pid: int) -> int:
        """How many descriptors process `pid` has open; 0 when it is not there."""
        if self.counts_fds:
            return self._fds_by_size(pid)
        kept = self._fds.setdefault(pid, _Seldom(lambda: self._fds_by_list(pid)))
        found = kept.get()
        if not found:
            del self._fds[pid]
        return found

    def _fds_by_size(self, pid: int) -> int:
        try:
            return os.stat(f"{self._proc}/{pid}/fd").st_size  # noqa: PTH116 - a path is dearer
        except OSError:
            return 0

    def _fds_by_list(self, pid: int) -> int:
        try:
            return sum(1 for _ in Path(f"{self._proc}/{pid}/fd").iterdir())
        except OSError:
            return 0

    def _cpu(self) -> float:
        """Share of what this process may use that was used, by whomever."""
        now = [
            cpu_ticks(self._read(f"{self._proc}/stat"), self._cores),
            *(_quota_used(group, self._read) for group in self._limiting_cpu),
        ]
        before, self._before = self._before, now
        return max(map(_share, before, now), default=0.0)

    def _memory(self) -> tuple[int, int]:
        """Bytes that may be used, and that are left: the least of the host and its groups."""
        limits = [memory_left(self._read(f"{self._proc}/meminfo"))]
        limits += [
            limit for one in self._limiting_memory if (limit := _group_memory(one, self._read))
        ]
        known = [limit for limit in limits if limit[0]]
        return (
            min((total for total, _ in known), default=0),
            min((left for _, left in known), default=0),
        )

    def _sockets(self) -> int:
        """TCP sockets of the host: never fewer than it has used ports."""
        net = f"{self._proc}/self/net"
        return sockets_of(self._read(f"{net}/sockstat") + self._read(f"{net}/sockstat6"))

    def _count_ports(self) -> int:
        net, ipv4 = Path(self._proc, "self/net"), f"{self._proc}/sys/net/ipv4"
        return fullest_pair(
            chain(pieces(net / "tcp"), pieces(net / "tcp6")),
            port_range(self._read(f"{ipv4}/ip_local_port_range")),
            reuse=self._read(f"{ipv4}/tcp_tw_reuse").strip(),
        )


class _Seldom:
    """A count that is dear where it is large: then it is made once in `LOOK_NS`."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._value, self._looked_ns = 0, 0

    def get(self) -> int:
        """The count, at most `LOOK_NS` old."""
        if self._value <= MANY_FDS or now_ns() - self._looked_ns >= LOOK_NS:
            self._value, self._looked_ns = self._count(), now_ns()
        return self._value


class _Ports:
    """Ports in use: counted aside, for that takes long where they are many."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._counting: threading.Thread | None = None
        self._used, self._sockets, self._looked_ns = 0, 0, 0

    def used(self, sockets: int, many: int) -> int:
        """Ports in use as they were counted last; 0 while `many` cannot be in use.

        Args:
            sockets: How many there are now; a port in use is one at least.
            many: How many ports it takes to matter.
        """
        if sockets < many:
            self._used = self._sockets = 0
        elif self._used + max(0, sockets - self._sockets) >= many and self._idle():
            self._looked_ns = now_ns()
            self._counting = threading.Thread(target=self._look, args=(sockets,), daemon=True)
            self._counting.start()
        return self._used

    def _idle(self) -> bool:
        counting = self._counting is not None and self._counting.is_alive()
        return not counting and (not self._looked_ns or now_ns() - self._looked_ns >= LOOK_NS)

    def _look(self, sockets: int) -> None:
        self._used, self._sockets = self._count(), sockets


def cpu_ticks(stat: bytes, cores: Iterable[int]) -> tuple[int, int] | None:
    """Ticks that `cores` were busy, and all they had, since the host began: of ``/proc/stat``."""
    wanted = {b"cpu%d" % core for core in cores}
    busy = total = 0
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name in wanted:
            # user, nice, system, idle, iowait, irq, softirq, steal; guests' are in user and nice
            spent = [int(one) for one in ticks[:8]]
            total += sum(spent)
            busy += sum(spent) - sum(spent[3:5])
        elif not name.startswith(b"cpu"):
            break
    return (busy, total) if total else None


def memory_left(meminfo: bytes) -> tuple[int, int]:
    """Bytes of memory that a host has, and that are left: of ``/proc/meminfo``."""
    total, available = _MEM_TOTAL.search(meminfo), _MEM_AVAILABLE.search(meminfo)
    return (int(total[1]) * 1024 if total else 0, int(available[1]) * 1024 if available else 0)


def port_range(text: bytes) -> range:
    """The ephemeral ports: of ``ip_local_port_range``."""
    try:
        first, last = map(int, text.split())
    except ValueError:
        return range(0)
    return range(first, last + 1)


def sockets_of(sockstat: bytes) -> int:
    """How many TCP sockets there are: of ``/proc/self/net/sockstat`` and ``sockstat6``."""
    return sum(map(int, re.findall(rb"^TCP6?: inuse (\d+)", sockstat, re.MULTILINE))) + sum(
        map(int, re.findall(rb"^TCP: .*\btw (\d+)", sockstat, re.MULTILINE))
    )


def fullest_pair(tables: Iterable[bytes], ports: range, reuse: bytes) -> int:
    """How many of `ports` are in use from one address to one destination, where they are most.

    Args:
        tables: Whole lines of ``/proc/self/net/tcp`` and ``tcp6``.
        ports: The ephemeral ones.
        reuse: ``tcp_tw_reuse``: ports in TIME_WAIT are free where it is 1, on loopback where 2.
    """
    used: Counter[tuple[bytes, bytes]] = Counter()
    for table in tables:
        for address, port, to, state in _SOCKET.findall(table):
            if state == _LISTENING or int(port, 16) not in ports:
                continue
            if state == _TIME_WAIT and (reuse == b"1" or (reuse == b"2" and _LOOPBACK.match(to))):
                continue
            used[address, to] += 1
    return max(used.values(), default=0)


def _groups(membership: bytes, root: Path) -> list[str]:
    """The directories of the groups this process is in, and of those around them.

    Args:
        membership: ``/proc/self/cgroup``. In a container its names may be those of the host, of
            which only the root is there.
        root: Where control groups are mounted, of version 1 or 2 or both.
    """
    found: dict[str, None] = {}
    for line in membership.decode(errors="replace").splitlines():
        _, controllers, name = line.split(":", 2)
        bases = [root / controllers] if controllers else [root, root / "unified"]
        for base in bases:
            here = base / name.strip("/")
            for group in (here, *here.parents):
                if group.is_relative_to(base) and group.is_dir():
                    found[str(group)] = None
    return list(found)


def _quota_used(group: str, read: Callable[[str], bytes]) -> tuple[int, int] | None:
    """CPU time that a group has used, and that it was allowed to until now, in ns."""
    quota, _, period = read(f"{group}/cpu.max").partition(b" ")
    used = re.search(rb"usage_usec (\d+)", read(f"{group}/cpu.stat"))
    used_ns = int(used[1]) * 1000 if used else _number(read(f"{group}/cpuacct.usage"))
    if not quota:
        quota = read(f"{group}/cpu.cfs_quota_us").strip()
        period = read(f"{group}/cpu.cfs_period_us").strip()
    allowed, of = _number(quota), _number(period)
    if allowed <= 0 or of <= 0 or used_ns < 0:
        return None
    return used_ns, now_ns() * allowed // of


def _group_memory(group: str, read: Callable[[str], bytes]) -> tuple[int, int] | None:
    """Bytes that a group may use, and that are left; None where it has no limit."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", rb"^inactive_file (\d+)"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", rb"^total_inactive_file (\d+)"),
    ):
        most = _number(read(f"{group}/{limit}"))
        if 0 <= most < _UNLIMITED:
            # The kernel takes files' pages back before it kills anybody.
            cached = re.search(cache, read(f"{group}/memory.stat"), re.MULTILINE)
            used = _number(read(f"{group}/{usage}")) - (int(cached[1]) if cached else 0)
            return most, max(0, most - max(0, used))
    return None


def _share(before: tuple[int, int] | None, now: tuple[int, int] | None) -> float:
    """Growth of the first number as a share of that of the second; 0 where it is not known."""
    if not before or not now or now[1] <= before[1]:
        return 0.0
    return min(1.0, max(0.0, (now[0] - before[0]) / (now[1] - before[1])))


def _number(text: bytes) -> int:
    """The number that is all of `text`; -1 where it is none."""
    try:
        return int(text)
    except ValueError:
        return -1


def pieces(path: Path, size: int = 1 << 16) -> Iterator[bytes]:
    """What `path` holds in pieces of whole lines, read `size` bytes at a time.

    A thread lets others run only between two pieces.
    """
    rest = b""
    try:
        with path.open("rb", buffering=0) as file:
            while data := file.read(size):
                lines, _, rest = (rest + data).rpartition(b"\n")
                if lines:
                    yield lines
    except OSError:
        return
