"""What a node's host has available: cores, memory, ephemeral ports, file descriptors.

Everything is read from ``/proc`` and from the control groups of the node, which show the limits of
a container. What cannot be read counts as 0, which means "unknown": a load test may run out of file
descriptors, and this module must not be what fails then.

The cost is some 0.1 ms per second. Two files grow with the number of sockets: the list of
descriptors on Linux before 6.2, which is therefore read rarely, and the table of connections. The
table takes 3 ms per thousand connections, so it is read by a thread, and only while enough ports
may be in use to matter: their number cannot grow by more than the number of new sockets.

*Ports.* A connection needs a local port that no other connection from the same source address to
the same destination (address and port) uses. So the pair with most connections counts. Ports
waiting for late packets (TIME_WAIT) count, too, unless the kernel reuses them.
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
"""How long a costly reading is reused."""
MANY_FDS = 1_000
"""Number of descriptors above which listing them is costly."""
PORTS_MATTER = 0.5
"""Sockets per ephemeral port below which used ports are not counted."""
_UNLIMITED = 1 << 60
"""Bytes: without a limit, control groups show one of about 2**63."""
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

    `figures` measures since its last call, so it is for one caller.

    Attributes:
        counts_fds: Whether the kernel reports how many descriptors a process has open; if not, they
            must be listed.
    """

    def __init__(self, proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> None:
        """Measure this host, or what two other directories show."""
        self._proc = proc
        self._read = ProcFiles().read
        groups = _groups(self._read(f"{proc}/self/cgroup"), Path(cgroups))
        # A limit set during the run is missed: looking for new limits would cost more than reading.
        self._limiting_cpu = [group for group in groups if _quota_used(group, self._read)]
        self._limiting_memory = [group for group in groups if _group_memory(group, self._read)]
        self._cores = os.sched_getaffinity(0)
        self._before: list[tuple[int, int] | None] = []
        self._range, self._range_ns = range(0), 0
        self._ports = _Ports(self._count_ports)
        self._fds: dict[int, _Seldom] = {}
        self.counts_fds = self._fds_by_size(os.getpid()) > 0  # Linux 6.2 and later
        self._cpu()  # the first call needs something to compare with

    def figures(self) -> NodePoint:
        """Return the host's metrics, without a name; CPU is measured since the last call."""
        memory_bytes, free_bytes = self._memory()
        ports = self._ports_there()
        return NodePoint(
            name="",
            cpu=self._cpu(),
            memory_bytes=memory_bytes,
            memory_free_bytes=free_bytes,
            ports=len(ports),
            ports_used=self._ports.used(self._sockets(), int(len(ports) * PORTS_MATTER)),
        )

    def _ports_there(self) -> range:
        """Return the ephemeral ports, which hardly ever change."""
        if not self._range or now_ns() - self._range_ns >= LOOK_NS:
            text = self._read(f"{self._proc}/sys/net/ipv4/ip_local_port_range")
            self._range, self._range_ns = port_range(text), now_ns()
        return self._range

    def fds(self, pid: int) -> int:
        """Return how many descriptors process `pid` has open; 0 if it does not exist."""
        if self.counts_fds:
            return self._fds_by_size(pid)
        kept = self._fds.setdefault(pid, _Seldom(lambda: self._fds_by_list(pid)))
        found = kept.get()
        if not found:
            del self._fds[pid]
        return found

    def _fds_by_size(self, pid: int) -> int:
        try:
            return os.stat(f"{self._proc}/{pid}/fd").st_size  # noqa: PTH116 - a Path costs more
        except OSError:
            return 0

    def _fds_by_list(self, pid: int) -> int:
        try:
            return sum(1 for _ in Path(f"{self._proc}/{pid}/fd").iterdir())
        except OSError:
            return 0

    def _cpu(self) -> float:
        """Return the fraction of the CPU available to this process that was used, by anyone."""
        now = [
            cpu_ticks(self._read(f"{self._proc}/stat"), self._cores),
            *(_quota_used(group, self._read) for group in self._limiting_cpu),
        ]
        before, self._before = self._before, now
        return max(map(_share, before, now), default=0.0)

    def _memory(self) -> tuple[int, int]:
        """Return usable and free memory in bytes: the least of the host and its groups."""
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
        """Return the number of the host's TCP sockets: never fewer than its used ports."""
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
    """A count that is costly if it is large; then it is made once in `LOOK_NS`."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._value, self._looked_ns = 0, 0

    def get(self) -> int:
        """Return the count, at most `LOOK_NS` old."""
        if self._value <= MANY_FDS or now_ns() - self._looked_ns >= LOOK_NS:
            self._value, self._looked_ns = self._count(), now_ns()
        return self._value


class _Ports:
    """Ports in use, counted in a thread, which takes long if they are many."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._counting: threading.Thread | None = None
        self._used, self._sockets, self._looked_ns = 0, 0, 0

    def used(self, sockets: int, many: int) -> int:
        """Return the last count of ports in use; 0 while fewer than `many` can be in use.

        Args:
            sockets: Present number of sockets; each port in use needs at least one.
            many: Number of ports from which on they matter.
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
    """Return busy and total ticks of `cores` since boot, from ``/proc/stat``."""
    wanted = {b"cpu%d" % core for core in cores}
    busy = total = 0
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name in wanted:
            # user, nice, system, idle, iowait, irq, softirq, steal; user and nice include guests
            spent = [int(one) for one in ticks[:8]]
            total += sum(spent)
            busy += sum(spent) - sum(spent[3:5])
        elif not name.startswith(b"cpu"):
            break
    return (busy, total) if total else None


def memory_left(meminfo: bytes) -> tuple[int, int]:
    """Return total and available memory of a host in bytes, from ``/proc/meminfo``."""
    total, available = _MEM_TOTAL.search(meminfo), _MEM_AVAILABLE.search(meminfo)
    return (int(total[1]) * 1024 if total else 0, int(available[1]) * 1024 if available else 0)


def port_range(text: bytes) -> range:
    """Return the ephemeral ports, from ``ip_local_port_range``."""
    try:
        first, last = map(int, text.split())
    except ValueError:
        return range(0)
    return range(first, last + 1)


def sockets_of(sockstat: bytes) -> int:
    """Return the number of TCP sockets, from ``/proc/self/net/sockstat`` and ``sockstat6``."""
    return sum(map(int, re.findall(rb"^TCP6?: inuse (\d+)", sockstat, re.MULTILINE))) + sum(
        map(int, re.findall(rb"^TCP: .*\btw (\d+)", sockstat, re.MULTILINE))
    )


def fullest_pair(tables: Iterable[bytes], ports: range, reuse: bytes) -> int:
    """Return how many of `ports` are in use between one address and one destination, at most.

    Args:
        tables: Whole lines of ``/proc/self/net/tcp`` and ``tcp6``.
        ports: The ephemeral ports.
        reuse: ``tcp_tw_reuse``: with 1 ports in TIME_WAIT are free, with 2 only on loopback.
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
    """Return the directories of this process's control groups and their ancestors.

    Args:
        membership: ``/proc/self/cgroup``. In a container it may have the names of the host, of
            which only the root exists.
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
    """Return the CPU time that a group has used, and that it was allowed so far, in ns."""
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
    """Return usable and free memory of a group in bytes; None if it has no limit."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", rb"^inactive_file (\d+)"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", rb"^total_inactive_file (\d+)"),
    ):
        most = _number(read(f"{group}/{limit}"))
        if 0 <= most < _UNLIMITED:
            # The kernel reclaims page cache before it kills a process.
            cached = re.search(cache, read(f"{group}/memory.stat"), re.MULTILINE)
            used = _number(read(f"{group}/{usage}")) - (int(cached[1]) if cached else 0)
            return most, max(0, most - max(0, used))
    return None


def _share(before: tuple[int, int] | None, now: tuple[int, int] | None) -> float:
    """Return the growth of the first number as a fraction of the second's; 0 if unknown."""
    if not before or not now or now[1] <= before[1]:
        return 0.0
    return min(1.0, max(0.0, (now[0] - before[0]) / (now[1] - before[1])))


def _number(text: bytes) -> int:
    """Return `text` as a number; -1 if it is not one."""
    try:
        return int(text)
    except ValueError:
        return -1


def pieces(path: Path, size: int = 1 << 16) -> Iterator[bytes]:
    """Yield the content of `path` in pieces of whole lines, reading `size` bytes at a time.

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
