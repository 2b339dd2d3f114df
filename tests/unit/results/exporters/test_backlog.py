"""What waits for a backend."""

from hypothesis import given
from hypothesis import strategies as st

from amoc.results.exporters.backlog import ChunkBacklog


def chunks(backlog):
    """All that waits, taken and done."""
    found = []
    while (chunk := backlog.take()) is not None:
        found.append(chunk)
        backlog.done()
    return found


def test_chunks_leave_in_the_order_in_which_they_came():
    backlog = ChunkBacklog(100)
    for chunk in (b"a", b"b", b"c"):
        backlog.put(chunk)
    assert len(backlog) == 3
    assert chunks(backlog) == [b"a", b"b", b"c"]
    assert (len(backlog), backlog.missing()) == (0, (0, 0))


def test_the_oldest_are_dropped_where_there_is_no_room():
    backlog = ChunkBacklog(10)
    for chunk in (b"aaaa", b"bbbb", b"cccc"):
        backlog.put(chunk)
    assert chunks(backlog) == [b"bbbb", b"cccc"]
    assert backlog.missing() == (1, 0)


def test_a_chunk_that_is_larger_than_all_room_is_dropped():
    backlog = ChunkBacklog(10)
    backlog.put(b"a" * 11)
    assert (backlog.take(), backlog.missing(), len(backlog)) == (None, (1, 0), 0)


def test_what_is_under_way_is_not_dropped():
    backlog = ChunkBacklog(10)
    backlog.put(b"aaaaaaaa")
    assert backlog.take() == b"aaaaaaaa"
    backlog.put(b"bbbbbbbb")
    assert len(backlog) == 2
    assert backlog.take() == b"aaaaaaaa"
    backlog.done()
    assert backlog.take() == b"bbbbbbbb"


def test_what_may_have_been_on_the_way_goes_out_again_over_the_next_connection():
    backlog = ChunkBacklog(100, repeat_bytes=5)
    for chunk in (b"aaa", b"bbb", b"ccc", b"ddd", b"eee"):
        backlog.put(chunk)
    for _ in range(3):
        backlog.take()
        backlog.done()
    assert backlog.take() == b"ddd"
    backlog.again()
    # Of five bytes on the way three are in "ccc", the others at the end of "bbb".
    assert chunks(backlog) == [b"bbb", b"ccc", b"ddd", b"eee"]


def test_the_last_one_goes_out_again_however_long_it_is():
    backlog = ChunkBacklog(100, repeat_bytes=5)
    backlog.put(b"a" * 50)
    backlog.take()
    backlog.done()
    backlog.again()
    assert chunks(backlog) == [b"a" * 50]


def test_what_went_out_before_may_have_arrived_and_what_did_not_has_not():
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


def test_a_chunk_that_is_refused_does_not_come_back():
    backlog = ChunkBacklog(100, repeat_bytes=2)
    backlog.put(b"a")
    backlog.put(b"b")
    backlog.take()
    backlog.refused()
    backlog.again()
    assert (chunks(backlog), backlog.missing()) == ([b"b"], (1, 0))


STEPS = st.lists(st.sampled_from(["put", "take", "done", "again", "refused"]), max_size=60)


@given(STEPS, st.integers(0, 40))
def test_whatever_happens_order_and_bounds_are_kept_and_every_chunk_is_accounted_for(steps, repeat):
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
            # One that went out before may come again, but none is passed over for a later one.
            assert chunk is None or int(chunk) <= last + 1 + sum(backlog.missing())
            last = max(last, -1 if chunk is None else int(chunk))
        elif step == "done":
            arrived |= set() if out is None else {int(out)}
            out = backlog.done()
        else:
            getattr(backlog, step)()
            out = None
        assert len(backlog) <= most // 8 + 1
        # What is certainly lost has never arrived, and what has not is lost, or may be.
        lost, doubtful = backlog.missing()
        assert lost <= put - len(arrived) <= lost + doubtful


@given(st.integers(0, 20), st.integers(0, 40))
def test_as_many_of_the_last_chunks_go_out_again_as_may_have_been_on_the_way(sent, repeat):
    backlog = ChunkBacklog(10_000, repeat)
    for number in range(sent):
        backlog.put(b"%08d" % number)
        backlog.take()
        backlog.done()
    backlog.again()
    assert len(backlog) == min(sent, -(-repeat // 8))
