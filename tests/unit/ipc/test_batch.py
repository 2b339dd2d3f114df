"""Reports that gather: all of them leave, in order, in batches that are not too large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc import batch as gathering
from amoc.ipc import messages
from amoc.ipc.batch import FULL_BATCH, MAX_BATCH_BYTES, Batch, pack_batch
from amoc.ipc.messages import Note

sizes = st.lists(st.sampled_from([0, 10, 60_000, MAX_BATCH_BYTES, 2 * MAX_BATCH_BYTES]))


@given(sizes)
def test_all_leaves_in_order_in_batches_that_are_not_too_large(lengths):
    held = Batch()
    notes = [Note(str(number), "x" * length) for number, length in enumerate(lengths)]
    for note in notes:
        held.add(note)
    out = []
    while held:
        before = held.size
        batch = held.take()
        assert len(batch) == 1 or sum(map(len, batch)) <= MAX_BATCH_BYTES
        assert held.size == before - sum(map(len, batch))
        out += [messages.from_wire(messages.unpack(item)) for item in batch]
    assert out == notes
    assert held.size == 0
    assert not held.take()


@given(st.text("abc"), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 70_000))
def test_a_batch_is_what_a_parent_reads(child, number, acknowledged, count):
    items = [messages.pack_item(Note("info", str(count)))] * count
    packed = pack_batch(child, number, acknowledged, items)
    name, *numbers, records = messages.unpack(packed)
    assert (name, numbers, len(records)) == (child, [number, acknowledged], len(items))
    assert all(messages.from_wire(record) == Note("info", str(count)) for record in records[:3])


def test_it_is_full_by_number_or_by_size(monkeypatch):
    held = Batch()
    assert not held.full
    for _ in range(FULL_BATCH):
        held.add(Note("info", ""))
    assert held.full
    held.take()
    assert not held.full
    monkeypatch.setattr(gathering, "MAX_BATCH_BYTES", 10)
    held.add(Note("info", "long enough"))
    assert held.full
