"""A worker's context: its parts are found by their class, in one place."""

from __future__ import annotations

from amoc.base import context
from amoc.base.context import WorkerContext, active, find


class Part:
    """A part of a worker."""


def test_without_a_worker_there_are_no_parts():
    with WorkerContext().activated():
        assert find(Part) is None


def test_a_part_is_found_by_its_class_while_its_context_is_active():
    one, other = WorkerContext(), WorkerContext()
    part = Part()
    one.set(Part, part)
    with one.activated():
        assert find(Part) is part
        with other.activated():
            assert context.active() is other
            assert find(Part) is None
        assert find(Part) is part
        one.set(Part, None)
        assert find(Part) is None
    assert context.active() not in (one, other)


def test_the_previous_context_is_restored_when_the_block_fails():
    before = context.active()
    try:
        with WorkerContext().activated():
            raise KeyError
    except KeyError:
        assert context.active() is before


def test_a_new_context_is_of_the_same_process():
    before = active().process
    with WorkerContext().activated():
        active().process, active().is_scenario = "worker-3", True
        with WorkerContext().activated():
            assert (active().process, active().is_scenario) == ("worker-3", True)
    assert active().process == before
