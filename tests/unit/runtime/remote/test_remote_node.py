"""A host that has joined is not given up before it had time to report."""

from __future__ import annotations

import pytest

from amoc.base.clock import S_NS
from amoc.ipc.messages.keeper import Join
from amoc.runtime.remote import remote_node
from amoc.runtime.remote.fencing import GIVEN_UP_NS, PATIENCE_NS
from amoc.runtime.remote.remote_node import RemoteNode


class Lines:
    """Stand-in for the connections to keepers; records which of them are forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.late = False

    def has_unread_messages(self) -> bool:
        return self.late

    def forget(self, node: RemoteNode) -> None:
        self.forgotten.append(node.keeper)


@pytest.mark.parametrize(
    ("is_there", "patience_ns", "silent"), [(False, PATIENCE_NS, "35 s"), (True, 0, "8 s")]
)
def test_a_host_is_given_up_later_if_its_keeper_is_not_connected_yet(
    monkeypatch: pytest.MonkeyPatch, is_there: bool, patience_ns: int, silent: str
) -> None:
    clock, lines = [S_NS], Lines()
    monkeypatch.setattr(remote_node, "now_ns", lambda: clock[0])
    node = RemoteNode(0, 7, Join("1", "3.11.7", "far", 4711, b"k", b"n"), lines)  # type: ignore[arg-type]
    node.is_there = is_there
    clock[0] += GIVEN_UP_NS + patience_ns - 1
    assert node.ended() is None
    clock[0] += GIVEN_UP_NS
    lines.late = True
    assert node.ended() is None, "the controller is late itself"
    clock[0] -= GIVEN_UP_NS - 1
    lines.late = False
    assert node.ended() == f"on far has not been heard from for {silent}"
    assert lines.forgotten == ["keeper7"]


def test_reports_of_other_hosts_do_not_keep_a_silent_host_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, lines = [S_NS], Lines()
    monkeypatch.setattr(remote_node, "now_ns", lambda: clock[0])
    node = RemoteNode(0, 7, Join("1", "3.11.7", "far", 4711, b"k", b"n"), lines)  # type: ignore[arg-type]
    node.is_there = lines.late = True
    clock[0] += 2 * GIVEN_UP_NS
    assert node.ended() == "on far has not been heard from for 8 s"
