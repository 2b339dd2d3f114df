"""Carrying things to a backend that may be away."""

from math import inf

import pytest
from gevent.event import Event

from amoc.results.exporters import delivery
from amoc.results.exporters.backlog import Backlog
from amoc.results.exporters.delivery import Delivery, RefusedError
from tests.unit.results.exporters.support import eventually


class Backend:
    """Takes chunks, if it is there."""

    def __init__(self):
        self.error = None
        self.fails = inf
        self.taken = []
        self.tries = 0
        self.hangs = False
        self.reached = Event()

    def __call__(self, chunk):
        self.tries += 1
        self.reached.set()
        if self.hangs:
            Event().wait()
        if self.error and self.fails > 0:
            self.fails -= 1
            raise self.error
        self.taken.append(chunk)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(delivery, "MAX_PAUSE_S", 0.004)


def begin(repeat=0):
    backend, told = Backend(), []
    return backend, told, Delivery("it", Backlog(1000, repeat), backend, told.append)


def test_chunks_are_delivered_in_order():
    backend, told, one = begin()
    one.put(b"a")
    one.put(b"b")
    eventually(lambda: len(backend.taken) == 2, "both are there")
    one.put(b"c")
    one.close(5.0)
    assert (backend.taken, told) == ([b"a", b"b", b"c"], [])


def test_a_backend_that_is_away_costs_one_warning_and_gets_all_when_it_is_back():
    backend, told, one = begin()
    backend.error = ConnectionRefusedError(111, "Connection refused")
    one.put(b"a")
    one.put(b"b")
    eventually(lambda: backend.tries > 5, "it is tried again and again")
    backend.error = None
    one.close(5.0)
    assert backend.taken == [b"a", b"b"]
    assert told == [
        "it takes nothing: Connection refused; the run goes on, and the latest points wait for it"
    ]


def test_what_was_not_delivered_at_the_end_is_said():
    backend, told, one = begin()
    backend.error = TimeoutError("timed out")
    one.put(b"a")
    one.put(b"b")
    eventually(lambda: backend.tries > 2, "it is tried")
    one.close(60.0)
    assert told[1:] == ["it: 2 points did not get there"]


def test_a_connection_that_is_found_broken_at_the_end_is_made_anew():
    backend, told, one = begin(repeat=1)
    one.put(b"a")
    eventually(lambda: backend.taken, "the first is there")
    backend.error, backend.fails = BrokenPipeError(32, "Broken pipe"), 1
    one.put(b"b")
    one.close(60.0)
    assert backend.taken == [b"a", b"a", b"b"]
    assert len(told) == 1


def test_of_what_went_out_before_it_is_said_that_it_may_not_have_got_there():
    backend, told, one = begin(repeat=100)
    one.put(b"a")
    eventually(lambda: backend.taken, "the first is there")
    backend.error = BrokenPipeError(32, "Broken pipe")
    one.put(b"b")
    assert not one.close(60.0)
    assert told[1:] == ["it: 1 point did not get there, and 1 point may not have got there"]


def test_a_backend_that_hangs_is_not_waited_for_beyond_the_deadline():
    backend, told, one = begin()
    backend.hangs = True
    one.put(b"a")
    backend.reached.wait()
    one.close(0.01)
    assert told == ["it: 1 point did not get there"]


@pytest.mark.parametrize("error", [RefusedError("no"), ZeroDivisionError("no")])
def test_what_is_refused_does_not_keep_the_others(error):
    backend, told, one = begin()
    backend.error = error
    one.put(b"a")
    eventually(lambda: backend.tries, "it is refused")
    backend.error = None
    one.put(b"b")
    one.close(5.0)
    assert backend.taken == [b"b"]
    assert told == ["it refuses one of the points: no", "it: 1 point did not get there"]
