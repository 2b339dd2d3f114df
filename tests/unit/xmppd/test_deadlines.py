from __future__ import annotations

from amoc.base.clock import S_NS
from amoc.xmppd.deadlines import Deadlines


def test_an_entry_not_discarded_in_time_is_overdue_once() -> None:
    deadlines: Deadlines[str] = Deadlines(2.0)
    assert deadlines.tick(0) == []
    deadlines.restart("a")
    deadlines.restart("b")
    assert deadlines.tick(S_NS) == []
    deadlines.restart("c")
    deadlines.discard("a")
    assert deadlines.tick(2 * S_NS) == ["b"]
    assert deadlines.tick(2 * S_NS) == []
    assert deadlines.tick(3 * S_NS) == ["c"]
    assert len(deadlines) == 0


def test_a_restart_grants_the_full_time_again() -> None:
    deadlines: Deadlines[str] = Deadlines(2.0)
    deadlines.tick(0)
    deadlines.restart("a")
    deadlines.restart("b")
    deadlines.tick(S_NS)
    deadlines.restart("a")
    assert deadlines.tick(2 * S_NS) == ["b"]
    assert deadlines.tick(3 * S_NS) == ["a"]


def test_an_unknown_entry_may_be_discarded() -> None:
    Deadlines[str](1.0).discard("nobody")
