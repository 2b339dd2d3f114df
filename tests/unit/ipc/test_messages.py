"""Records on the wire: what was packed comes back, what is none of ours is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.base.errors import PeerError
from amoc.ipc import messages
from amoc.ipc.messages import codec

SAMPLE = messages.Sample(
    sequence=9,
    at_ns=2**62,
    users={2: 7, 4: 1},
    users_peak=9,
    counters={"sent": 2**63},
    gauges={"queue": (1, [0.5, float("inf")])},
    timers={"ttd": (900, [3, 1, 4607, 2**40])},
    crashes={"ValueError: é": 3},
    workers=[
        (0, 1, 4711, 5, 6, 0, 0, 10**12, 2**62, 2**40, 0.001, 0.001, 0.0, 10**9, 0, 2**30, 17, 200)
    ],
    host=(0.5, 2**34, 2**33, 28_232, 0),
)
RECORDS = [
    SAMPLE,
    messages.Welcome(),
    messages.Hello(4711),
    messages.StartUsers(3, [1, 2**40], 2**62, [0, 25], again=True),
    messages.CrashSeen(0, "ValueError: x", "Traceback …\n", 17),
    messages.Loaded(
        "chat", "", [("a", "1", "default", "what", "chat")], (50.0, None), 2, 1, 20_000, ["a < 1"]
    ),
]


def there_and_back(record):
    return messages.from_wire(messages.unpack(messages.pack(messages.to_wire(record))))


def plain(value):
    """`value` with lists for tuples, as msgpack gives it back."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record):
    back = there_and_back(record)
    assert type(back) is type(record)
    assert plain(back) == plain(record)


def test_every_record_is_known_by_its_name():
    for name, kind in codec._TYPES.items():
        record = kind(*range(len(kind._fields)))
        assert there_and_back(record) == record
        assert messages.to_wire(record)[0] == name


@given(st.integers(0, 2**40), st.text(alphabet=st.characters(exclude_categories=()), max_size=20))
@example(1, "\udcff")
def test_any_text_of_the_scenario_can_be_reported(user_id, text):
    # A lone surrogate is what bytes that are not UTF-8 become; it must not end whoever packs it.
    record = messages.CrashSeen(0, "ValueError", text, user_id)
    back = there_and_back(record)
    assert back.user_id == user_id
    if text.encode(errors="ignore").decode() == text:
        assert back.traceback == text


wire = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@given(wire)
@example(["Hello"])
@example(["Hello", 1, 2])
@example(["NamedTuple", 1])
@example([["Hello"], 1])
@example("Hello")
def test_what_is_no_record_is_refused(data):
    with pytest.raises(PeerError, match="a message must be a known record"):
        messages.from_wire(data)


@given(st.binary(max_size=60))
@example(b"")
@example(b"\xc1")
@example(b"\x81\x90\xc0")  # a map whose key is a list
@example(b"\xd9\x02\xc3\x28")  # text that is not UTF-8
@example(b"\x91" * 3000)  # lists in lists
@example(b"\xc7\x0c\xff" + b"\xff" * 12)  # a time that cannot be
@example(b"\xdd\xff\xff\xff\xff")  # four thousand million elements
def test_any_bytes_are_msgpack_or_are_refused(data):
    try:
        messages.unpack(data)
    except PeerError as error:
        assert "a message must be msgpack" in str(error)  # noqa: PT017


def test_a_refusal_does_not_quote_a_whole_message():
    with pytest.raises(PeerError) as caught:
        messages.from_wire(["Nonsense", "x" * 100_000])
    assert len(str(caught.value)) < 200
