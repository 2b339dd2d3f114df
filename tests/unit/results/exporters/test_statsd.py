"""Points sent to statsd over real sockets."""

import re
import socket as stdlib_socket
from collections import defaultdict

import pytest
from gevent import socket, spawn

from amoc.metrics.histogram import Histogram
from amoc.results.exporters.backlog import MAX_POINTS
from amoc.results.exporters.statsd import MAX_DATAGRAM, Statsd, Value
from amoc.results.series import Point
from tests.unit.results import runs
from tests.unit.results.exporters.support import eventually, feed


class Daemon:
    """Sums what it receives, as statsd does; its port stays reserved while it is down."""

    def __init__(self, there=True):
        self.counters = defaultdict(float)
        self.gauges = {}
        self.datagrams = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._hearing = spawn(self._hear)
        if not there:
            self.leave()

    def leave(self):
        # A socket connected to another peer refuses our datagrams.
        self._socket.connect(("127.0.0.1", 9))

    def come_back(self):
        self._socket.close()
        self._hearing.kill()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._hearing = spawn(self._hear)

    def _hear(self):
        while True:
            datagram = self._socket.recv(65536)
            self.datagrams.append(datagram)
            for line in datagram.decode("ascii").split("\n"):
                name, _, rest = line.partition(":")
                value, _, kind = rest.partition("|")
                if kind == "c":
                    self.counters[name] += float(value)
                elif value[0] in "+-" and self.gauges.get(name):
                    self.gauges[name] += float(value)
                else:
                    assert kind == "g", line
                    self.gauges[name] = float(value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._hearing.kill()
        self._socket.close()


def point(**fields):
    return Point(**{"t_s": 1.0, "span_s": 1.0, "at": 1e9, **fields})


def test_counters_add_up_and_gauges_keep_their_last_value():
    told, points = [], runs.points(20)
    with Daemon() as daemon:
        exporter = Statsd("127.0.0.1", daemon.port, "load", told.append)
        tally = feed(exporter, points)
        exporter.close(10.0)
        sent, done = tally.counters["messages_sent"], tally.timers["message_ttd"].count
        eventually(lambda: daemon.counters["load.counters.messages_sent"] == sent, "all is there")
        assert daemon.counters["load.timers.message_ttd"] == done
        assert daemon.counters["load.crashes"] == 1
        last = points[-1]
        p99_s = last.timers["message_ttd"].quantiles_s(0.99)[0]
        assert daemon.gauges["load.timers.message_ttd.p99_ms"] == pytest.approx(p99_s * 1e3)
        assert daemon.gauges["load.users.running"] == 50
        assert daemon.gauges["load.workers.node0.1.rss_bytes"] == 40 << 20
    assert told == []


def test_datagrams_are_packed_and_none_is_larger_than_a_frame():
    with Daemon() as daemon:
        exporter = Statsd("127.0.0.1", daemon.port, "", lambda text: None)
        names = [f"a_counter_with_a_name_of_some_length_{number}" for number in range(500)]
        feed(exporter, [point(counters=dict.fromkeys(names, 1))])
        exporter.close(10.0)
        eventually(lambda: len(daemon.counters) == 500, "all are there")
        assert max(map(len, daemon.datagrams)) <= MAX_DATAGRAM
        assert sum(map(len, daemon.datagrams)) > 0.9 * MAX_DATAGRAM * (len(daemon.datagrams) - 1)


def test_a_negative_gauge_is_set_rather_than_decremented():
    with Daemon() as daemon:
        exporter = Statsd("127.0.0.1", daemon.port, "", lambda text: None)
        feed(exporter, [point(gauges={"level": level}) for level in (5.0, -3.5, -3.5, -1.0)])
        exporter.close(10.0)
        eventually(lambda: daemon.gauges.get("gauges.level") == -1.0, "it is there")


def test_unchanged_counters_are_not_sent():
    with Daemon() as daemon:
        exporter = Statsd("127.0.0.1", daemon.port, "", lambda text: None)
        feed(exporter, [point(counters={"sent": 2}), point(gauges={"end": 1.0})])
        exporter.close(10.0)
        eventually(lambda: "gauges.end" in daemon.gauges, "the second is there")
        sent = [line for one in daemon.datagrams for line in one.decode().split("\n")]
        assert [line for line in sent if line.startswith("counters.")] == ["counters.sent:2|c"]


@pytest.mark.parametrize(
    ("value", "text"), [(50.0, "50"), (0.1 + 0.2, "0.3"), (-2.5, "-2.5"), (1e-9, "1e-09")]
)
def test_values_are_written_without_insignificant_digits(value, text):
    assert str(Value(value)) == text


def test_a_daemon_that_is_down_causes_one_warning_and_gets_later_points():
    told, points = [], runs.points(5)
    with Daemon(there=False) as daemon:
        exporter = Statsd("127.0.0.1", daemon.port, "amoc", told.append)
        tally = feed(exporter, points)
        eventually(lambda: told, "it is said")
        daemon.come_back()
        late = point(counters={"late": 7}, timers={"late": Histogram.of([10**6])})
        feed(exporter, [late], tally)
        exporter.close(10.0)
        eventually(lambda: daemon.counters["amoc.counters.late"] == 7, "the last one is there")
        assert daemon.counters["amoc.timers.late"] == 1
    what = f"statsd at 127.0.0.1:{daemon.port}"
    assert told[0] == f"{what} does not accept data: Connection refused; the run continues"
    assert re.fullmatch(rf"{what}: [1-6] points? may not have been delivered", told[1])
    assert len(told) == 2


def test_points_that_came_too_fast_are_counted():
    told = []
    with Daemon() as daemon:
        exporter = Statsd("127.0.0.1", daemon.port, "amoc", told.append)
        feed(exporter, runs.points(MAX_POINTS + 3))
        exporter.close(10.0)
    what = f"statsd at 127.0.0.1:{daemon.port}"
    assert told == [f"{what}: 3 points may not have been delivered"]


def test_an_unknown_host_name_causes_one_warning_and_does_not_block_the_event_loop(monkeypatch):
    blocking = []
    monkeypatch.setattr(stdlib_socket, "getaddrinfo", lambda *host, **_: blocking.append(host))
    told = []
    exporter = Statsd("statsd.invalid", 8125, "amoc", told.append)
    feed(exporter, runs.points(2))
    eventually(lambda: told, "it is said")
    exporter.close(10.0)
    assert told[0].startswith("statsd at statsd.invalid:8125 does not accept data: ")
    assert told[1:] == ["statsd at statsd.invalid:8125: 2 points may not have been delivered"]
    assert blocking == []
