from hypothesis import given
from hypothesis import strategies as st

from amoc.client.sse import Event, EventReader


def read(reader, text):
    return [event for line in text.split("\n") if (event := reader.feed(line)) is not None]


def test_events_are_read_with_their_ids():
    reader = EventReader()

    found = read(
        reader,
        "retry: 500\n\n: still here\n\nid: 7\nevent: second\ndata: {}\n\ndata: a\ndata:b\n\n",
    )

    assert found == [Event("second", "{}"), Event("message", "a\nb")]
    assert (reader.last_id, reader.retry_s) == ("7", 0.5)


def test_an_event_cut_off_by_a_lost_connection_is_discarded():
    reader = EventReader()
    read(reader, "id: 1\ndata: a\n\nid: 2\ndata: b")

    reader.lost()

    assert reader.last_id == "1"
    assert read(reader, "\nid: 2\ndata: b\n\n") == [Event("message", "b")]


def test_the_retry_delay_is_bounded():
    reader = EventReader()
    read(reader, "retry: 99999999999\nretry: soon\n\n")
    assert reader.retry_s == 60.0


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(0, 400))
def test_each_event_is_seen_once_however_the_stream_is_split(numbers, at):
    events = [f"id: {number}\nevent: second\ndata: {number}" for number in range(len(numbers))]
    reader = EventReader()
    lines = "\n\n".join([*events, ""]).split("\n")
    cut = lines[: at % len(lines)]
    seen = [event.data for line in cut if (event := reader.feed(line)) is not None]
    reader.lost()
    after = int(reader.last_id) + 1 if reader.last_id else 0
    seen += [one.data for one in read(reader, "\n\n".join([*events[after:], "", ""]))]
    assert seen == [str(number) for number in range(len(numbers))]
