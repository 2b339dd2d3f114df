"""Archives stay within their limits, whatever is added."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.xmppd.services.archive import Archives, Entry


def entry(moment: int, size: int) -> Entry:
    return Entry(moment, "a@x", "b@x", b"x" * size)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 30)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 10),
    st.integers(10, 100),
)
def test_no_limit_is_exceeded_and_the_newest_message_is_kept_if_it_fits(
    added: list[tuple[str, int]], per_archive: int, total: int, most_bytes: int
) -> None:
    archives = Archives(per_archive, total, most_bytes)
    for number, (owner, size) in enumerate(added):
        archives.add(owner, entry(number, size))
        kept = {one: archives.of(one) for one in "abcd"}
        assert len(archives) == sum(map(len, kept.values())) <= total
        assert max(map(len, kept.values())) <= per_archive
        assert sum(len(one.stanza) for some in kept.values() for one in some) <= most_bytes
        if size <= most_bytes:
            assert kept[owner][-1].moment == number


def test_the_oldest_archive_makes_room() -> None:
    archives = Archives(10, 3, 1000)
    for number, owner in enumerate("abcb"):
        archives.add(owner, entry(number, 1))
    assert [[one.moment for one in archives.of(owner)] for owner in "abc"] == [[], [1, 3], [2]]
