"""Records on the wire: packed ones round-trip, anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.base.errors import PeerError
from amoc.ipc.messages import (
    codec,
    coordinator,
    envelope,
    lifecycle,
    links,
    orders,
    rpc,
    samples,
    throttle,
    users,
)
from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.lifecycle import Hello, Loaded
from amoc.ipc.messages.links import FROM_NODE, FROM_SUPERVISOR, TO_NODE
from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import CrashSeen, StartUsers

SUBJECTS = (coordinator, envelope, lifecycle, links, orders, rpc, samples, throttle, users)
NAMED = {name: one for subject in SUBJECTS for name, one in vars(subject).items()}
SAMPLE = Sample(
    sequence=9,
    at_ns=2**62,
    users={2: 7, 4: 1},
    users_peak=9,
    counters={"sent": 2**63},
    gauges={"queue": (1, float("inf"), 2)},
    timers=(["ttd"], bytes(8), bytes(4), b"\x00\xff", b"\n"),
    crashes={"ValueError: é": 3},
    throttles={"logins": (2**40, 2**39, 1)},
    waiting={"logins": 17},
    workers=[(0, 1, 2**62, 6, 0, 2**40, 0.001, [5, 0, 10**12, 0.001, 0.0, 10**9, 0, 2**30, 17])],
    host=(0.5, 2**34, 2**33, 28_232, 0),
)
RECORDS = [
    SAMPLE,
    Hello(4711),
    CrashSeen(0, "ValueError: x", "Traceback …\n", 17),
    Loaded(
        "chat", "", [("a", "1", "default", "what", "chat")], (50.0, None), 2, 1, 20_000, ["a < 1"]
    ),
]


def round_trip(record):
    return FROM_NODE.unpack(FROM_NODE.pack(record))


def plain(value):
    """Return `value` with lists for tuples, as msgpack unpacks it."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_a_round_trip(record):
    back = round_trip(record)
    assert type(back) is type(record)
    assert plain(back) == plain(record)


CODECS = {name: one for name, one in NAMED.items() if isinstance(one, Codec)}


@pytest.mark.parametrize("name", CODECS)
def test_every_message_of_a_link_survives_a_round_trip(name):
    codec = CODECS[name]
    assert codec.kinds
    for kind in codec.kinds.values():
        message = kind(*range(len(kind._fields)))
        if kind is Envelope:
            message = Envelope.of(Part.MAIL, 3, 1, b"body")
        back = codec.unpack(codec.pack(message))
        assert type(back) is kind
        assert back == message


def test_every_message_belongs_to_a_link_or_to_another_message():
    known = {kind for one in CODECS.values() for kind in one.kinds.values()}
    parts = {"GroupPart", "CoordinatorState", "Layout", "SettingInfo"}
    found = {one for one in NAMED.values() if isinstance(one, type) and hasattr(one, "_fields")}
    assert {one.__name__ for one in found - known} == parts


def test_a_message_of_another_link_is_refused():
    with pytest.raises(PeerError, match=r"expected a known message, got .*StartUsers"):
        FROM_NODE.unpack(TO_NODE.pack(StartUsers(3, [1], 2**62, [], again=True)))


def test_an_envelope_is_forwarded_unchanged():
    envelope = Envelope.of(Part.CALLS, 65_535, 2**32 - 1, b"a body")
    passed = TO_NODE.unpack(FROM_NODE.pack(envelope))
    assert passed == envelope
    assert passed.header() == (Part.CALLS, 65_535, 2**32 - 1)
    assert bytes(passed.body) == b"a body"


def test_an_envelope_is_refused_on_a_link_without_envelopes():
    with pytest.raises(PeerError, match="expected a known message, got "):
        FROM_SUPERVISOR.from_wire(b"an envelope")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 7])
def test_an_envelope_without_a_header_is_refused_when_read(data):
    with pytest.raises(PeerError, match="expected an envelope, got b"):
        Envelope(data).header()


@given(st.integers(0, 2**40), st.text(alphabet=st.characters(exclude_categories=()), max_size=20))
@example(1, "\udcff")
def test_any_text_from_the_scenario_can_be_reported(user_id, text):
    # Bytes that are not UTF-8 become lone surrogates; packing them must not fail.
    record = CrashSeen(0, "ValueError", text, user_id)
    back = round_trip(record)
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


# Bytes are an envelope.
@given(wire.filter(lambda data: not isinstance(data, bytes)))
@example(["Hello"])
@example(["Hello", 1, 2])
@example(["NamedTuple", 1])
@example([["Hello"], 1])
@example("Hello")
def test_anything_but_a_record_is_refused(data):
    with pytest.raises(PeerError, match="expected a known message, got "):
        FROM_NODE.from_wire(data)


@given(st.binary(max_size=60))
@example(b"")
@example(b"\xc1")
@example(b"\x81\x90\xc0")  # a map whose key is a list
@example(b"\xd9\x02\xc3\x28")  # text that is not UTF-8
@example(b"\x91" * 3000)  # nested lists
@example(b"\xc7\x0c\xff" + b"\xff" * 12)  # an impossible timestamp
@example(b"\xdd\xff\xff\xff\xff")  # four billion elements
def test_arbitrary_bytes_are_msgpack_or_refused(data):
    try:
        codec.unpack(data)
    except PeerError as error:
        assert "expected msgpack, got " in str(error)  # noqa: PT017


def test_a_refusal_does_not_quote_a_whole_message():
    with pytest.raises(PeerError) as caught:
        FROM_NODE.from_wire(["Nonsense", "x" * 100_000])
    assert len(str(caught.value)) < 200
