"""Points sent to carbon over real sockets."""

from dataclasses import replace

import pytest

from amoc.results.exporters import background, graphite
from amoc.results.exporters.graphite import Graphite, written
from amoc.results.exporters.names import Entry
from tests.unit.results import runs
from tests.unit.results.exporters.support import Carbon, eventually, feed


@pytest.fixture(autouse=True)
def _short_retry_pauses(monkeypatch):
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(background, "MAX_PAUSE_S", 0.01)


def times(points):
    return [int(point.at) for point in points]


def test_a_gauge_is_a_line_and_a_counter_two():
    assert written("p.", Entry("a.b", 1.5), 7, 1.0) == ["p.a.b 1.5 7\n"]
    assert written("", Entry("a", 6, 10), 7, 2.0) == ["a.rate 3 7\n", "a.total 10 7\n"]
    assert written("", Entry("a", 6, 10), 7, 0.0)[0] == "a.rate 0 7\n"


def test_every_point_arrives_with_its_time():
    told, points = [], runs.points(20)
    with Carbon() as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "load.test", told.append)
        tally = feed(exporter, points)
        exporter.close(10.0)
        total = f"load.test.counters.messages_sent.total {tally.counters['messages_sent']}"
        assert f"{total} {int(points[-1].at)}" in carbon.lines
        assert carbon.seconds() == times(points)
        assert carbon.connections == 1
    assert told == []


def test_two_points_of_one_second_do_not_overwrite_each_other():
    first, second, third = runs.points(3)
    points = [replace(first, at=10.01), replace(second, at=10.99), replace(third, at=12.0)]
    with Carbon() as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "", lambda text: None)
        feed(exporter, points)
        exporter.close(10.0)
        assert carbon.seconds() == [10, 11, 12]


def test_points_wait_while_carbon_refuses_and_arrive_once_it_is_up():
    told, points = [], runs.points(30)
    with Carbon(listening=False) as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        feed(exporter, points)
        eventually(lambda: told, "it is said")
        carbon.listen()
        exporter.close(10.0)
        assert carbon.seconds() == times(points)
    text = (
        f"graphite at 127.0.0.1:{carbon.port} does not accept data: Connection refused;"
        " the run continues, and the latest points are kept"
    )
    assert told == [text]


def test_points_of_an_outage_arrive_after_it_and_earlier_ones_are_not_lost():
    told, points = [], runs.points(30)
    with Carbon() as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        tally = feed(exporter, points[:10])
        eventually(lambda: carbon.seconds() == times(points[:10]), "the first are there")
        carbon.die()
        feed(exporter, points[10:20], tally)
        eventually(lambda: told, "it is said")
        carbon.listen()
        feed(exporter, points[20:], tally)
        exporter.close(10.0)
        assert carbon.seconds() == times(points)
        assert carbon.connections == 2
    assert len(told) == 1


def test_a_partially_sent_point_is_sent_again():
    told, points = [], runs.points(10)
    with Carbon(reads=False) as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        tally = feed(exporter, points[:3])
        eventually(lambda: carbon.connections, "it is connected")
        # None of the data in flight has been read when the connection is reset.
        carbon.die()
        carbon.reads = True
        carbon.listen()
        feed(exporter, points[3:], tally)
        exporter.close(10.0)
        assert sorted(carbon.seconds()) == times(points)
        assert carbon.connections == 2


@pytest.mark.slow
def test_a_carbon_that_accepts_but_never_reads_causes_one_warning(monkeypatch):
    monkeypatch.setattr(graphite, "SEND_S", 0.05)
    monkeypatch.setattr(graphite, "MAX_BYTES", 100_000)
    told, turns = [], []
    with Carbon(reads=False) as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        tally = None
        second = 0

        def more():
            nonlocal tally, second
            second += 1
            turns.append(second)
            tally = feed(exporter, runs.points(40, seed=second), tally)
            return carbon.connections > 2 and exporter.chunks.missing().lost

        eventually(more, "it gives up a connection, and then the oldest points")
        assert len(told) == 1
        assert "does not accept data: " in told[0]
        exporter.close(0.2)
    assert len(told) == 2
    assert "points could not be delivered" in told[1]


def test_a_carbon_that_died_without_reading_gets_everything_again():
    told, points = [], runs.points(60)
    with Carbon(reads=False) as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        tally = None
        sent = exporter.chunks.sent
        for number, point in enumerate(points[:50], 1):
            tally = feed(exporter, [point], tally)
            eventually(lambda number=number: len(sent) == number, "it is on the way")
        carbon.die()
        carbon.reads = True
        carbon.listen()
        feed(exporter, points[50:], tally)
        exporter.close(10.0)
        assert sorted(carbon.seconds()) == times(points)
        assert carbon.connections == 2
    assert len(told) == 1


def test_totals_match_the_run_even_when_points_came_too_fast():
    told, points = [], runs.points(100)
    with Carbon() as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        tally = feed(exporter, points)
        exporter.close(10.0)
        sent, second = tally.counters["messages_sent"], int(points[-1].at)
        assert f"amoc.counters.messages_sent.total {sent} {second}" in carbon.lines
        done = tally.timers["message_ttd"].count
        assert f"amoc.timers.message_ttd.total {done} {second}" in carbon.lines
    assert told == [f"graphite at 127.0.0.1:{carbon.port}: 70 points could not be delivered"]


def test_an_unknown_host_name_causes_one_warning():
    told = []
    exporter = Graphite("carbon.invalid", 2003, "amoc", told.append)
    feed(exporter, runs.points(2))
    eventually(lambda: told, "it is said")
    exporter.close(5.0)
    assert told[0].startswith("graphite at carbon.invalid:2003 does not accept data: ")
    assert told[1:] == ["graphite at carbon.invalid:2003: 2 points could not be delivered"]


def test_the_end_does_not_wait_for_a_carbon_that_does_not_read():
    told = []
    with Carbon(reads=False) as carbon:
        exporter = Graphite("127.0.0.1", carbon.port, "amoc", told.append)
        feed(exporter, runs.points(2))
        eventually(lambda: carbon.connections, "it is connected")
        exporter.close(0.05)
        assert carbon.lines == []
        assert told[-1].endswith(": the last points may not have been delivered")
