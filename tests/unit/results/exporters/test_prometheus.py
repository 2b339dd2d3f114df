"""Scrapes of a run, over real sockets."""

from http.client import HTTPConnection

import gevent
import pytest
from gevent import socket
from gevent.event import Event
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from amoc.base import periodic_yield
from amoc.base.errors import ResourceError
from amoc.results.exporters import RunInfo, prometheus
from amoc.results.exporters.prometheus import Prometheus
from tests.servers.daemon import free_port
from tests.unit.results import runs
from tests.unit.results.exporters.support import DEADLINE_S, Carbon, feed

RUN = RunInfo("20261125T020000-1a2b", "chat")
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def get(port, path="/metrics", **headers):
    """amoc's response and its body."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def served():
    told, port = [], free_port()
    exporter = Prometheus("127.0.0.1", port, RUN, told.append)
    yield exporter, port
    exporter.close(1.0)
    assert told == []


@pytest.mark.parametrize(
    ("accept", "kind", "read"),
    [
        (OPENMETRICS, "application/openmetrics-text", parse_openmetrics),
        ("text/plain", "text/plain", parse),
        ("*/*", "text/plain", parse),
    ],
)
def test_a_scrape_returns_the_latest_values_in_the_requested_format(served, accept, kind, read):
    exporter, port = served
    points = runs.points(20)
    tally = feed(exporter, points[:10])
    answer, text = get(port, Accept=accept)
    assert answer.status == 200
    assert answer.headers.get_content_type() == kind
    tally = feed(exporter, points[10:], tally)
    samples = {
        sample.name: sample.value
        for family in read(get(port, Accept=accept)[1])
        for sample in family.samples
    }
    assert samples["amoc_messages_sent_total"] == tally.counters["messages_sent"]
    assert text != get(port, Accept=accept)[1]


def test_only_the_metrics_path_exists(served):
    _, port = served
    assert get(port, "/")[0].status == 404
    assert get(port, "/metrics/x")[0].status == 404


def test_a_port_in_use_is_reported_at_the_start():
    with Carbon() as other, pytest.raises(ResourceError) as caught:
        Prometheus("127.0.0.1", other.port, RUN, lambda text: None)
    assert str(caught.value) == (
        f"prometheus_port must be free to listen on, got 127.0.0.1:{other.port}:"
        " Address already in use"
    )


def test_an_address_of_another_host_is_reported():
    with pytest.raises(ResourceError) as caught:
        Prometheus("192.0.2.1", 9464, RUN, lambda text: None)
    assert "got 192.0.2.1:9464: " in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_other_names_of_this_host_are_accepted(host):
    told, port = [], free_port()
    exporter = Prometheus(host, port, RUN, told.append)
    with socket.create_connection((host, port), timeout=20) as one:
        one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert one.recv(4096).startswith(b"HTTP/1.1 200 OK")
    exporter.close(1.0)
    assert told == []


def test_listening_beyond_loopback_causes_a_warning():
    told, port = [], free_port()
    Prometheus("0.0.0.0", port, RUN, told.append).close(1.0)
    assert told == [
        (
            f"anyone who can reach 0.0.0.0:{port} can read the metrics of this run"
            " (prometheus_host is 0.0.0.0)"
        )
    ]


def test_a_scrape_yields_to_the_event_loop(served, monkeypatch):
    monkeypatch.setattr(periodic_yield, "HOLD_NS", 0)
    exporter, port = served
    feed(exporter, runs.points(3))
    asking = gevent.spawn(get, port)
    turns = 0
    while not asking.ready():
        gevent.sleep(periodic_yield.PAUSE_S)
        turns += 1
    families = asking.get()[1].count("# TYPE ")
    assert turns > families / 2


def test_a_silent_client_blocks_no_one_and_is_disconnected(served, monkeypatch):
    _, port = served
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    assert get(port)[0].status == 200
    # Not earlier: slow clients would be disconnected as well.
    monkeypatch.setattr(prometheus, "SILENT_S", 0.02)
    brief = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(5)]
    for one in brief:
        assert one.recv(4096) == b""
    for one in (*silent, *brief):
        one.close()


def test_a_connection_kept_between_scrapes_does_not_delay_the_end():
    port = free_port()
    exporter = Prometheus("127.0.0.1", port, RUN, lambda text: None)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as kept:
        kept.sendall(b"GET /metrics HTTP/1.1\r\nHost: amoc\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += kept.recv(65536)
        with gevent.Timeout(DEADLINE_S):
            exporter.close(100 * DEADLINE_S)
        assert kept.recv(1) == b""


def test_a_scrape_in_progress_is_answered_before_the_end(served, monkeypatch):
    under_way = Event()

    def yield_if_due(_yield):
        under_way.set()
        gevent.sleep(periodic_yield.PAUSE_S)

    monkeypatch.setattr(periodic_yield.PeriodicYield, "__call__", yield_if_due)
    exporter, port = served
    feed(exporter, runs.points(3))
    asking = gevent.spawn(get, port)
    assert under_way.wait(DEADLINE_S)
    exporter.close(DEADLINE_S)
    assert asking.get()[1].endswith('amoc_node_ports_used{node="node0"} 0.0\n')


def test_connections_are_refused_after_the_end():
    port = free_port()
    exporter = Prometheus("127.0.0.1", port, RUN, lambda text: None)
    exporter.close(1.0)
    with pytest.raises(ConnectionRefusedError):
        get(port)
