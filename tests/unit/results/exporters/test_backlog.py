"""The backlog of chunks waiting for a backend."""

from hypothesis import given
from hypothesis import strategies as st

from amoc.results.exporters.backlog import ChunkBacklog


def chunks(backlog):
    """Take all waiting chunks and mark them as done."""
    found = []
    while (chunk := backlog.take()) is not None:
        found.append(chunk)
        backlog.done()
    return found


def test_chunks_leave_in_order_of_arrival():
    backlog = ChunkBacklog(100)
    for chunk in (b"a", b"b", b"c"):
        backlog.put(chunk)
    assert len(backlog) == 3
    assert chunks(backlog) == [b"a", b"b", b"c"]
    assert (len(backlog), backlog.missing()) == (0, (0, 0))


def test_the_oldest_chunks_are_dropped_when_full():
    backlog = ChunkBacklog(10)
    for chunk in (b"aaaa", b"bbbb", b"cccc"):
        backlog.put(chunk)
    assert chunks(backlog) == [b"bbbb", b"cccc"]
    assert backlog.missing() == (1, 0)


def test_a_chunk_larger_than_the_limit_is_dropped():
    backlog = ChunkBacklog(10)
    backlog.put(b"a" * 11)
    assert (backlog.take(), backlog.missing(), len(backlog)) == (None, (1, 0), 0)


def test_a_chunk_being_sent_is_not_dropped():
    backlog = ChunkBacklog(10)
    backlog.put(b"aaaaaaaa")
    assert backlog.take() == b"aaaaaaaa"
    backlog.put(b"bbbbbbbb")
    assert len(backlog) == 2
    assert backlog.take() == b"aaaaaaaa"
    backlog.done()
    assert backlog.take() == b"bbbbbbbb"


def test_chunks_possibly_in_flight_are_sent_again_over_the_next_connection():
    backlog = ChunkBacklog(100, repeat_bytes=5)
    for chunk in (b"aaa", b"bbb", b"ccc", b"ddd", b"eee"):
        backlog.put(chunk)
    for _ in range(3):
        backlog.take()
        backlog.done()
    assert backlog.take() == b"ddd"
    backlog.again()
    # Of five bytes in flight three are in "ccc", the others at the end of "bbb".
    assert chunks(backlog) == [b"bbb", b"ccc", b"ddd", b"eee"]


def test_the_last_chunk_is_sent_again_however_long_it_is():
    backlog = ChunkBacklog(100, repeat_bytes=5)
    backlog.put(b"a" * 50)
    backlog.take()
    backlog.done()
    backlog.again()
    assert chunks(backlog) == [b"a" * 50]


def test_chunks_sent_earlier_are_doubtful_and_unsent_ones_are_missing():
    backlog = ChunkBacklog(100, repeat_bytes=100)
    for chunk in (b"a", b"b", b"c", b"d"):
        backlog.put(chunk)
    for _ in range(2):
        backlog.take()
        backlog.done()
    backlog.take()
    backlog.again()
    assert backlog.missing() == (2, 2)
    backlog.put(b"e" * 97)
    assert backlog.missing() == (3, 2)
    backlog.put(b"f")
    assert (backlog.missing(), len(backlog)) == ((4, 2), 4)
    backlog.drop(7)
    assert backlog.missing() == (11, 2)


def test_a_rejected_chunk_is_not_sent_again():
    backlog = ChunkBacklog(100, repeat_bytes=2)
    backlog.put(b"a")
    backlog.put(b"b")
    backlog.take()
    backlog.refused()
    backlog.again()
    assert (chunks(backlog), backlog.missing()) == ([b"b"], (1, 0))


STEPS = st.lists(st.sampled_from(["put", "take", "done", "again", "refused"]), max_size=60)


@given(STEPS, st.integers(0, 40))
def test_order_and_bounds_always_hold_and_every_chunk_is_accounted_for(steps, repeat):
    most = 24
    backlog = ChunkBacklog(most, repeat)
    put = 0
    arrived: set[int] = set()
    last, out = -1, None
    for step in steps:
        if step == "put":
            backlog.put(b"%08d" % put)
            put += 1
        elif step == "take":
            out = chunk = backlog.take()
            # A chunk may be sent again, but none is skipped for a later one.
            assert chunk is None or int(chunk) <= last + 1 + sum(backlog.missing())
            last = max(last, -1 if chunk is None else int(chunk))
        elif step == "done":
            arrived |= set() if out is None else {int(out)}
            out = backlog.done()
        else:
            getattr(backlog, step)()
            out = None
        assert len(backlog) <= most // 8 + 1
        # A chunk counted as lost never arrived; one that did not arrive is lost or doubtful.
        lost, doubtful = backlog.missing()
        assert lost <= put - len(arrived) <= lost + doubtful


@given(st.integers(0, 20), st.integers(0, 40))
def test_the_last_chunks_that_may_have_been_in_flight_are_sent_again(sent, repeat):
    backlog = ChunkBacklog(10_000, repeat)
    for number in range(sent):
        backlog.put(b"%08d" % number)
        backlog.take()
        backlog.done()
    backlog.again()
    assert len(backlog) == min(sent, -(-repeat // 8))
