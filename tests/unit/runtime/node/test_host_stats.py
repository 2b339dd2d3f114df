from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.health_figures import NodePoint
from amoc.runtime.node import host_stats
from amoc.runtime.node.host_stats import (
    HostStats,
    cpu_ticks,
    fullest_pair,
    memory_left,
    port_range,
    sockets_of,
)
from tests.process.support import eventually

MIB = 1 << 20
MEMINFO = b"MemTotal:       4096 kB\nMemFree:  99 kB\nMemAvailable:   1024 kB\n"
STAT = b"cpu  9 9 9 9 9 9 9 9 0 0\n"


def core(number: int, busy: int, idle: int) -> bytes:
    return b"cpu%d %d 0 0 %d 0 0 0 0 0 0\n" % (number, busy, idle)


def table(*sockets: tuple[str, int, str, str]) -> bytes:
    """Return a kernel table of connections: local address and port, remote end, state."""
    return b"".join(
        b"%4d: %s:%04X %s %s 00000000:00000000 00:00000000 00000000\n"
        % (row, here.encode(), port, there.encode(), state.encode())
        for row, (here, port, there, state) in enumerate(sockets)
    )


class Tree:
    """Stand-ins for the /proc and cgroup files of a host."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        self.write("proc/stat", STAT + b"".join(core(n, 10, 10) for n in os.sched_getaffinity(0)))
        self.write("proc/meminfo", MEMINFO)

    def write(self, name: str, content: bytes) -> None:
        file = self.proc.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def cores(self, busy: int, idle: int) -> None:
        lines = b"".join(core(n, busy, idle) for n in os.sched_getaffinity(0))
        self.write("proc/stat", STAT + lines + b"intr 1\ncpu99 1 1 1 1\n")

    def host(self) -> HostStats:
        return HostStats(str(self.proc), str(self.cgroups))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def connections() -> Iterator[Callable[[int], socket.socket]]:
    """Open connections to a new server from 127.0.0.9, which nothing else uses."""
    opened: list[socket.socket] = []

    def connect(count: int) -> socket.socket:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)
        for _ in range(count):
            client = socket.create_connection(server.getsockname(), source_address=("127.0.0.9", 0))
            opened.extend((client, server.accept()[0]))
        return server

    yield connect
    for one in opened:
        one.close()


def test_the_real_host_has_memory_ports_and_descriptors() -> None:
    real = HostStats()
    figures = real.figures()
    assert 0 < figures.memory_free_bytes < figures.memory_bytes
    assert figures.ports > 1_000
    assert 0 <= figures.cpu <= 1
    before = real.fds(os.getpid())
    with Path("/dev/null").open():
        assert real.fds(os.getpid()) == before + 1
    assert real.fds(1 << 30) == 0


def test_unreadable_files_yield_empty_figures(tmp_path: Path) -> None:
    assert HostStats(str(tmp_path), str(tmp_path)).figures() == NodePoint("", 0.0, 0, 0, 0, 0)


def test_cpu_is_the_share_of_own_cores_since_the_previous_call(tree: Tree) -> None:
    found = tree.host()
    tree.cores(busy=40, idle=20)
    assert found.figures().cpu == 0.75
    tree.cores(busy=40, idle=40)
    assert found.figures().cpu == 0.0
    assert found.figures().cpu == 0.0  # no time has passed


def test_ticks_of_other_cores_and_of_guests_do_not_count() -> None:
    stat = STAT + core(0, 1, 2) + b"cpu1 1 2 3 4 5 6 7 8 100 100\n" + core(2, 9, 9) + b"ctxt 1\n"
    assert cpu_ticks(stat, {0, 1}) == (1 + 27, 3 + 36)
    assert cpu_ticks(b"", {0}) is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_cgroup_cpu_quota_counts_if_it_is_closer(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    now = 1_000_000_000
    monkeypatch.setattr(host_stats, "now_ns", lambda: now)

    def used(ns: int) -> None:
        if version == 2:
            tree.write("cgroup/amoc/cpu.stat", b"usage_usec %d\nuser_usec 0\n" % (ns // 1000))
        else:
            tree.write("cgroup/cpu,cpuacct/amoc/cpuacct.usage", b"%d\n" % ns)

    if version == 2:
        tree.write("proc/self/cgroup", b"0::/amoc\n")
        tree.write("cgroup/amoc/cpu.max", b"50000 100000\n")
    else:
        tree.write("proc/self/cgroup", b"4:memory:/amoc\n3:cpu,cpuacct:/amoc\n0::/\n")
        tree.write("cgroup/cpu,cpuacct/amoc/cpu.cfs_quota_us", b"50000\n")
        tree.write("cgroup/cpu,cpuacct/amoc/cpu.cfs_period_us", b"100000\n")
    used(7_000_000)
    found = tree.host()
    now += 1_000_000_000
    used(7_000_000 + 400_000_000)
    assert found.figures().cpu == pytest.approx(0.8)


def test_a_cgroup_without_a_quota_is_ignored(tree: Tree) -> None:
    tree.write("proc/self/cgroup", b"0::/amoc\n")
    tree.write("cgroup/amoc/cpu.max", b"max 100000\n")
    tree.write("cgroup/amoc/cpu.stat", b"usage_usec 1\n")
    found = tree.host()
    tree.cores(busy=20, idle=20)
    assert found.figures().cpu == 0.5


def test_without_a_limit_memory_is_that_of_the_host(tree: Tree) -> None:
    figures = tree.host().figures()
    assert (figures.memory_bytes, figures.memory_free_bytes) == (4 * MIB, MIB)
    assert memory_left(b"MemTotal: 12 kB\n") == (12 * 1024, 0)


@pytest.mark.parametrize(
    ("membership", "names"),
    [
        (b"0::/a/b\n", ("memory.max", "memory.current", "inactive_file")),
        (
            b"9:cpuset:/\n4:memory:/a/b\n0::/\n",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_the_lowest_memory_limit_counts_and_page_cache_counts_as_free(
    tree: Tree, membership: bytes, names: tuple[str, str, str]
) -> None:
    limit, usage, cache = names
    root = "cgroup/memory" if b"memory:" in membership else "cgroup"
    tree.write("proc/self/cgroup", membership)
    for group, most, used in (("a", 2 * MIB, 1_900_000), ("a/b", 3 * MIB, 1_000_000)):
        tree.write(f"{root}/{group}/{limit}", b"%d\n" % most)
        tree.write(f"{root}/{group}/{usage}", b"%d\n" % used)
        tree.write(f"{root}/{group}/memory.stat", f"anon 1\n{cache} 500000\n".encode())
    figures = tree.host().figures()
    assert figures.memory_bytes == 2 * MIB
    assert figures.memory_free_bytes == 2 * MIB - 1_400_000


def test_both_spellings_of_no_memory_limit_are_recognized(tree: Tree) -> None:
    tree.write("proc/self/cgroup", b"4:memory:/\n0::/\n")
    tree.write("cgroup/memory/memory.limit_in_bytes", b"9223372036854771712\n")
    tree.write("cgroup/memory.max", b"max\n")
    assert tree.host().figures().memory_bytes == 4 * MIB


def test_in_a_container_the_cgroup_root_replaces_a_missing_group(tree: Tree) -> None:
    tree.write("proc/self/cgroup", b"4:memory:/docker/0123\n")
    tree.write("cgroup/memory/memory.limit_in_bytes", b"2097152\n")
    tree.write("cgroup/memory/memory.usage_in_bytes", b"1048576\n")
    figures = tree.host().figures()
    assert (figures.memory_bytes, figures.memory_free_bytes) == (2 * MIB, MIB)


def test_ports_are_counted_for_the_fullest_source_and_destination_pair() -> None:
    web, other = "0100007F:0050", "0100007F:0051"
    found = table(
        ("0100007F", 40_000, web, "01"),
        ("0100007F", 40_001, web, "08"),
        ("0100007F", 40_000, other, "01"),
        ("0200007F", 40_002, web, "01"),
        ("0100007F", 40_003, "00000000:0000", "0A"),
        ("0100007F", 80, "0100007F:9C40", "01"),
    )
    assert fullest_pair([found], range(32_768, 61_000), b"2") == 2


@pytest.mark.parametrize(
    ("there", "reuse", "used"),
    [
        ("0100007F:0050", b"0", 1),
        ("0100007F:0050", b"2", 0),
        ("0100000A:0050", b"2", 1),
        ("0100000A:0050", b"1", 0),
        ("00000000000000000000000001000000:0050", b"2", 0),
        ("0000000000000000FFFF00000100007F:0050", b"2", 0),
        ("0000000000000000FFFF00000100000A:0050", b"2", 1),
    ],
)
def test_a_port_in_time_wait_counts_unless_it_can_be_reused(
    there: str, reuse: bytes, used: int
) -> None:
    waiting = table((there.split(":", maxsplit=1)[0], 40_000, there, "06"))
    assert fullest_pair([waiting], range(32_768, 61_000), reuse) == used


def test_the_real_kernel_table_is_parsed(connections: Callable[[int], socket.socket]) -> None:
    server = connections(7)
    port = server.getsockname()[1]
    tables = [Path(f"/proc/net/{name}").read_bytes() for name in ("tcp", "tcp6")]
    ours = [
        line + b"\n"
        for line in b"".join(tables).splitlines()
        if b":%04X 01" % port in line and b"0900007F:" in line
    ]
    assert (
        fullest_pair(
            ours, port_range(Path("/proc/sys/net/ipv4/ip_local_port_range").read_bytes()), b"2"
        )
        == 7
    )


def test_sockets_include_both_families_and_time_wait() -> None:
    sockstat = b"sockets: used 99\nTCP: inuse 5 orphan 1 tw 30 alloc 7 mem 3\nUDP: inuse 8 mem 0\n"
    assert sockets_of(sockstat + b"TCP6: inuse 2\nUDP6: inuse 4\n") == 37
    assert sockets_of(b"") == 0


def test_ports_are_counted_only_if_many_may_be_in_use(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = host_stats.LOOK_NS
    monkeypatch.setattr(host_stats, "now_ns", lambda: now)
    tree.write("proc/sys/net/ipv4/ip_local_port_range", b"32768\t32787\n")  # twenty

    def sockets(all_of_them: int, ours: int) -> None:
        tree.write("proc/self/net/sockstat", b"TCP: inuse %d orphan 0 tw 0\n" % all_of_them)
        rows = [("0100007F", 32_768 + n, "0100007F:0050", "01") for n in range(ours)]
        tree.write("proc/self/net/tcp", b"  sl  local_address\n" + table(*rows))

    found = tree.host()
    sockets(9, 9)
    assert found.figures().ports_used == 0
    sockets(12, 4)
    eventually(lambda: found.figures().ports_used == 4, "counted aside")
    now += host_stats.LOOK_NS
    sockets(17, 9)  # five new sockets make nine at most: still not many
    assert found.figures().ports_used == 4
    sockets(19, 11)
    eventually(lambda: found.figures().ports_used == 11, "counted again")
    sockets(20, 12)
    assert found.figures().ports_used == 11  # counted at most once per interval
    now += host_stats.LOOK_NS
    eventually(lambda: found.figures().ports_used == 12, "counted after a while")
    sockets(8, 8)
    assert found.figures().ports_used == 0


def test_a_long_list_of_descriptors_is_not_read_every_time(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = host_stats.LOOK_NS
    monkeypatch.setattr(host_stats, "now_ns", lambda: now)
    monkeypatch.setattr(host_stats, "MANY_FDS", 2)
    found = tree.host()
    found.counts_fds = False  # as on a kernel that does not report their number
    for number in range(2):
        tree.write(f"proc/7/fd/{number}", b"")
        assert found.fds(7) == number + 1
    tree.write("proc/7/fd/2", b"")
    assert found.fds(7) == 3
    tree.write("proc/7/fd/3", b"")
    assert found.fds(7) == 3
    now += host_stats.LOOK_NS
    assert found.fds(7) == 4


@given(
    st.lists(st.binary(min_size=1, max_size=20).filter(lambda one: b"\n" not in one)),
    st.integers(1, 50),
)
def test_a_file_is_read_in_pieces_of_whole_lines(lines: list[bytes], size: int) -> None:
    text = b"".join(line + b"\n" for line in lines)
    with TemporaryDirectory() as directory:
        file = Path(directory) / "tcp"
        file.write_bytes(text)
        found = list(host_stats.pieces(file, size))
    assert b"".join(piece + b"\n" for piece in found) == text
