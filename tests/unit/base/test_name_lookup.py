from __future__ import annotations

import threading

import gevent
import pytest

from amoc.base import name_lookup


def test_a_numeric_address_is_not_looked_up() -> None:
    assert name_lookup.resolve("127.0.0.1", 7, 0) == ((2, ("127.0.0.1", 7)),)
    assert name_lookup.resolve("::1", 7, 0) == ((10, ("::1", 7)),)


def test_concurrent_lookups_of_a_name_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def look_up(host: str, port: int, *_: object) -> list[tuple[int, int, int, str, tuple]]:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.9", port))] * 2

    monkeypatch.setattr(name_lookup, "getaddrinfo", look_up)
    wanting = [gevent.spawn(name_lookup.resolve, "one.invalid", 5222, 10) for _ in range(20)]
    gevent.joinall(wanting, timeout=10, raise_error=True)
    assert {one.value for one in wanting} == {((2, ("127.0.0.9", 5222)),)}
    assert name_lookup.resolve("one.invalid", 5222, 10) == ((2, ("127.0.0.9", 5222)),)
    assert asked == ["one.invalid"]


def test_a_slow_lookup_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()  # a name is looked up in a thread
    monkeypatch.setattr(name_lookup, "getaddrinfo", lambda *_: over.wait(10) and [])
    with pytest.raises(TimeoutError, match=r"two\.invalid"):
        name_lookup.resolve("two.invalid", 5222, 0.01)
    over.set()
