"""Queued reports: all are sent, in order, in batches of limited size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc.bus import report_queue
from amoc.ipc.bus.report_queue import FULL_BATCH, MAX_BATCH_BYTES, ReportQueue, pack_batch
from amoc.ipc.messages.codec import unpack
from amoc.ipc.messages.lifecycle import Note
from amoc.ipc.messages.links import FROM_NODE

sizes = st.lists(st.sampled_from([0, 10, 60_000, MAX_BATCH_BYTES, 2 * MAX_BATCH_BYTES]))


@given(sizes)
def test_reports_leave_in_order_in_batches_of_limited_size(lengths):
    held = ReportQueue()
    notes = [Note(str(number), "x" * length) for number, length in enumerate(lengths)]
    for note in notes:
        held.add(FROM_NODE.pack(note))
    out = []
    while held.items:
        before = held.size
        batch = held.take()
        assert len(batch) == 1 or sum(map(len, batch)) <= MAX_BATCH_BYTES
        assert held.size == before - sum(map(len, batch))
        out += [FROM_NODE.unpack(item) for item in batch]
    assert out == notes
    assert held.size == 0
    assert not held.take()


@given(st.text("abc"), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 70_000))
def test_a_batch_can_be_unpacked_by_the_parent(child, number, acknowledged, count):
    items = [FROM_NODE.pack(Note("info", str(count)))] * count
    packed = pack_batch(child, number, acknowledged, items)
    name, *numbers, records = unpack(packed)
    assert (name, numbers, len(records)) == (child, [number, acknowledged], len(items))
    assert all(FROM_NODE.from_wire(record) == Note("info", str(count)) for record in records[:3])


def test_the_queue_is_full_by_number_or_by_size(monkeypatch):
    held = ReportQueue()
    assert not held.full
    for _ in range(FULL_BATCH):
        held.add(FROM_NODE.pack(Note("info", "")))
    assert held.full
    held.take()
    assert not held.full
    monkeypatch.setattr(report_queue, "MAX_BATCH_BYTES", 10)
    held.add(FROM_NODE.pack(Note("info", "long enough")))
    assert held.full
