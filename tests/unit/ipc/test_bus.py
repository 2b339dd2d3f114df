"""The bus over real sockets: who joins late or misses something hears all, once, in order."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from decimal import Decimal

import gevent
import pytest
import zmq

from amoc.base.clock import S_NS
from amoc.base.errors import PeerError
from amoc.base.loop_yield import yield_to_loop
from amoc.ipc import bus
from amoc.ipc.bus import Child, Parent, Received
from amoc.ipc.bus import child as child_end
from amoc.ipc.bus import end as both_ends
from amoc.ipc.bus import parent as parent_end
from amoc.ipc.bus.report_queue import pack_batch
from amoc.ipc.messages.codec import Codec, pack, unpack
from amoc.ipc.messages.lifecycle import Go, Hello, Note
from amoc.ipc.messages.users import CrashSeen, Started, Stopped, StopUsers

DEADLINE_S = 60.0
ANY = Codec(CrashSeen | Go | Hello | Note | Started | Stopped | StopUsers)
"""The same messages go either way here."""


def wait(condition):
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0.001)


class Family:
    """A parent and its children in one process, with all that they heard."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.context = zmq.Context()
        self.parent = Parent(self.context, directory, ANY, ANY)
        self.children: dict[str, Child] = {}
        self.heard: list[Received] = []
        self.obeyed: dict[str, list[object]] = {}
        self.tasks = [gevent.spawn(self._hear)]

    def _hear(self):
        for envelope in self.parent.reports():
            if envelope is not None:
                self.heard.append(envelope)

    def _obey(self, child):
        for command in child.commands():
            if command is not None:
                self.obeyed[child.name].append(command)

    def bear(self, name: str, at_crowded=None) -> Child:
        child = self.children[name] = Child(
            self.context, self.directory, name, ANY, ANY, at_crowded
        )
        self.obeyed[name] = []
        return child

    def listen(self, name: str) -> None:
        self.tasks.append(gevent.spawn(self._obey, self.children[name]))

    def join(self, name: str) -> Child:
        self.parent.expect(name)
        child = self.bear(name)
        child.join(DEADLINE_S)
        self.listen(name)
        wait(lambda: Received(name, Hello(os.getpid())) in self.heard)
        return child

    def reported(self, name: str, kind: type = object) -> list[object]:
        return [
            one.record for one in self.heard if one.child == name and isinstance(one.record, kind)
        ]

    def end(self):
        gevent.killall(self.tasks)
        for child in self.children.values():
            child.__exit__(None, None, None)
        self.parent.__exit__(None, None, None)
        self.context.destroy(linger=0)


@pytest.fixture
def family(tmp_path):
    made = Family(str(tmp_path))
    yield made
    made.end()


def numbered(count: int, start: int = 0) -> list[object]:
    return [Started(0, number) for number in range(start, start + count)]


def test_a_child_that_says_hello_is_welcomed_and_announced_once(family):
    family.join("w0.1")
    family.children["w0.1"].report(Go())
    wait(lambda: Go() in family.reported("w0.1"))
    assert family.reported("w0.1") == [Hello(os.getpid()), Go()]


def test_a_child_that_nobody_expects_waits_in_vain_until_its_deadline(family):
    with pytest.raises(PeerError, match=r"w7 was not welcomed by its parent within 0\.1 s"):
        family.bear("w7").join(0.1)
    assert family.heard == []


def test_a_child_may_be_there_before_it_is_expected(family, monkeypatch):
    child = family.bear("w0.1")
    send, said = child_end.send_nowait, []

    def noting(socket, data):
        said.append(data)
        return send(socket, data)

    monkeypatch.setattr(child_end, "send_nowait", noting)
    joining = gevent.spawn(child.join, DEADLINE_S)
    wait(lambda: len(said) >= 2)
    family.parent.expect("w0.1")
    joining.get(timeout=DEADLINE_S)
    wait(lambda: len(family.reported("w0.1", Hello)) == 1)


def test_a_child_that_is_not_heard_says_hello_at_its_pauses_only(family, monkeypatch):
    monkeypatch.setattr(child_end, "HELLO_S", 1000.0)
    monkeypatch.setattr(both_ends, "TICK_S", 0.001)
    child = family.bear("w7")
    send, said = child_end.send_nowait, []
    monkeypatch.setattr(
        child_end, "send_nowait", lambda socket, data: said.append(data) or send(socket, data)
    )
    with pytest.raises(PeerError):
        child.join(0.05)
    assert len(said) == 1


def test_a_child_may_be_there_before_its_parent(tmp_path):
    context = zmq.Context()
    child = Child(context, str(tmp_path), "w0.1", ANY, ANY)
    joining = gevent.spawn(child.join, DEADLINE_S)
    gevent.sleep(0)
    parent = Parent(context, str(tmp_path), ANY, ANY)
    try:
        parent.expect("w0.1")
        hearing = gevent.spawn(lambda: next(one for one in parent.reports() if one is not None))
        joining.get(timeout=DEADLINE_S)
        assert hearing.get(timeout=DEADLINE_S).child == "w0.1"
    finally:
        gevent.killall([joining, hearing])
        child.__exit__(None, None, None)
        parent.__exit__(None, None, None)
        context.destroy(linger=0)


def test_commands_arrive_in_order_and_once(family):
    family.join("w0.1")
    commands = numbered(2000)
    for command in commands:
        family.parent.send("w0.1", command)
    wait(lambda: len(family.obeyed["w0.1"]) >= len(commands))
    assert family.obeyed["w0.1"] == commands
    assert not family.reported("w0.1", Note)


def test_commands_that_go_as_one_frame_are_numbered_and_sent_again_as_one(family, monkeypatch):
    family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    commands = numbered(300)
    drop(family, monkeypatch, [3])  # the second; the first of all was the welcome
    for first in (0, 100, 200):
        packed = map(family.parent.pack, commands[first : first + 100])
        family.parent.send_packed("w0.1", *packed)
    assert family.parent.backlog("w0.1") == 3
    wait(lambda: len(family.obeyed["w0.1"]) >= len(commands))
    assert family.obeyed["w0.1"] == commands
    wait(lambda: family.parent.backlog("w0.1") == 0)


def test_each_child_hears_its_own_commands_only(family):
    names = ("w3.1", "w30.1", "w3.10")
    for name in names:
        family.join(name)
    for name in names[1:]:
        family.parent.send(name, CrashSeen(0, name, "", 1))
    # The same socket carries this one behind all others.
    family.parent.send("w3.1", CrashSeen(0, "w3.1", "", 1))
    wait(lambda: all(family.obeyed.values()))
    assert {name: [one.cause for one in heard] for name, heard in family.obeyed.items()} == {
        name: [name] for name in names
    }


def drop(family, monkeypatch, numbers):
    """Lose the first publishing of these commands, as a full queue does."""
    publish = Parent.publish
    lost = set(numbers)

    def publish_or_lose(parent, child, data):
        number = unpack(data)[0]
        if number in lost:
            lost.remove(number)
        else:
            publish(parent, child, data)

    monkeypatch.setattr(Parent, "publish", publish_or_lose)


# The welcome is command 1, so the first of ours is command 2.
@pytest.mark.parametrize(
    "lost",
    [[2], [5], [9], [3, 4], [2, 9], list(range(2, 10))],
    ids=lambda lost: "-".join(map(str, lost)),
)
def test_a_dropped_command_arrives_late_in_order_and_once(family, monkeypatch, lost):
    monkeypatch.setattr(parent_end, "RESEND_NS", 50_000_000)
    family.join("w0.1")
    drop(family, monkeypatch, lost)
    commands = numbered(8)
    for command in commands:
        family.parent.send("w0.1", command)
    wait(lambda: len(family.obeyed["w0.1"]) >= 8)
    wait(lambda: family.parent.backlog("w0.1") == 0)
    assert family.obeyed["w0.1"] == commands


def test_a_gap_is_reported_once_however_much_came_behind_it(family, monkeypatch):
    monkeypatch.setattr(parent_end, "RESEND_NS", 50_000_000)
    family.join("w0.1")
    drop(family, monkeypatch, [4])
    commands = numbered(50)
    for command in commands:
        family.parent.send("w0.1", command)
    wait(lambda: len(family.obeyed["w0.1"]) >= 50)
    wait(lambda: family.reported("w0.1", Note))
    family.children["w0.1"].report(Stopped(0, [], 0))
    wait(lambda: family.reported("w0.1", Stopped))
    notes = family.reported("w0.1", Note)
    assert "missed command 4 (got 5)" in notes[0].text
    assert len(notes) == 1


def test_what_is_acknowledged_is_kept_no_longer(family):
    family.join("w0.1")
    for command in numbered(100):
        family.parent.send("w0.1", command)
    assert family.parent.backlog("w0.1") > 0
    wait(lambda: family.parent.backlog("w0.1") == 0)


def test_a_child_that_does_not_acknowledge_is_broken_in_the_end(family, monkeypatch):
    monkeypatch.setattr(parent_end, "MAX_UNACKED", 10)
    family.parent.expect("w0.1")
    for command in numbered(10):
        family.parent.send("w0.1", command)
    with pytest.raises(
        PeerError, match=r"w0\.1 must acknowledge its commands, but 10 are outstanding"
    ):
        family.parent.send("w0.1", Go())


def test_a_command_to_a_child_that_is_forgotten_goes_nowhere(family):
    family.join("w0.1")
    family.parent.forget("w0.1")
    family.parent.send("w0.1", Go())
    family.parent.send("w9.1", Go())
    family.children["w0.1"].report(Go())
    family.join("w0.2")
    assert family.obeyed["w0.1"] == []
    assert not family.reported("w0.1", Go)


def test_a_parent_can_tell_how_many_commands_a_child_has_not_acknowledged(family):
    family.parent.expect("w0.1")
    for command in numbered(10):
        family.parent.send("w0.1", command)
    assert family.parent.backlog("w0.1") == 10
    assert family.parent.backlog("w9.1") == family.parent.backlog_bytes("w9.1") == 0
    assert family.parent.backlog_bytes("w0.1") == 10 * len(pack([1, ANY.to_wire(Started(0, 1))]))
    family.join("w0.2")
    for command in numbered(10):
        family.parent.send("w0.2", command)
    wait(lambda: family.parent.backlog("w0.2") == 0)
    assert family.parent.backlog_bytes("w0.2") == 0


def test_an_acknowledgement_goes_with_the_next_report(family, monkeypatch):
    monkeypatch.setattr(child_end, "ACK_NS", 3600 * S_NS)
    monkeypatch.setattr(parent_end, "RESEND_NS", 3600 * S_NS)
    child = family.join("w0.1")
    for command in numbered(10):
        family.parent.send("w0.1", command)
    wait(lambda: len(family.obeyed["w0.1"]) == 10)
    assert family.parent.backlog("w0.1") == 10
    child.report_nowait(Started(0, 1))
    wait(lambda: family.parent.backlog("w0.1") == 0)


def test_an_acknowledgement_without_a_report_waits_for_a_while_or_so_many_commands(
    family, monkeypatch
):
    monkeypatch.setattr(parent_end, "RESEND_NS", 3600 * S_NS)
    family.join("w0.1")
    family.parent.send("w0.1", Go())
    wait(lambda: family.parent.backlog("w0.1") == 0)
    monkeypatch.setattr(child_end, "ACK_NS", 3600 * S_NS)
    for command in numbered(child_end.ACK_AT + 5):
        family.parent.send("w0.1", command)
    wait(lambda: family.parent.backlog("w0.1") <= 5)


def test_an_acknowledgement_does_not_wait_for_more_where_commands_are_large(family, monkeypatch):
    monkeypatch.setattr(child_end, "ACK_NS", 3600 * S_NS)
    monkeypatch.setattr(parent_end, "RESEND_NS", 3600 * S_NS)
    family.join("w0.1")
    large = CrashSeen(0, 1, "x", "x" * child_end.ACK_BYTES)
    for _ in range(3):
        family.parent.send("w0.1", large)
        wait(lambda: family.parent.backlog_bytes("w0.1") == 0)


@pytest.mark.parametrize(("most", "most_bytes"), [(10, 1 << 20), (1000, 100)])
def test_what_is_published_again_at_once_is_bounded_and_all_arrives(
    family, monkeypatch, most, most_bytes
):
    monkeypatch.setattr(parent_end, "RESEND_NS", 10_000_000)
    monkeypatch.setattr(parent_end, "MAX_RESENT", most)
    monkeypatch.setattr(parent_end, "MAX_RESENT_BYTES", most_bytes)
    family.join("w0.1")
    drop(family, monkeypatch, range(2, 102))
    commands = numbered(100)
    for command in commands:
        family.parent.send("w0.1", command)
    publish, again = Parent.publish, []

    def noting(parent, child, data):
        # Within one go nothing is acknowledged, and numbers go up.
        now = parent.backlog(child), unpack(data)[0]
        if again and again[-1][-1][0] == now[0] and again[-1][-1][1] < now[1]:
            again[-1].append(now)
        else:
            again.append([now])
        publish(parent, child, data)

    monkeypatch.setattr(Parent, "publish", noting)
    wait(lambda: len(family.obeyed["w0.1"]) == 100)
    assert family.obeyed["w0.1"] == commands
    assert len(again) >= 10
    assert max(map(len, again)) <= 10


def test_the_more_children_there_are_the_later_what_they_have_not_acknowledged_is_sent_again(
    family, monkeypatch
):
    monkeypatch.setattr(parent_end, "RESEND_NS", 0)
    monkeypatch.setattr(parent_end, "RESEND_EACH_NS", 3600 * S_NS)
    family.parent.expect("w0.1")
    family.parent.send("w0.1", Go())
    publish, published = Parent.publish, []

    def noting(parent, child, data):
        published.append(child)
        publish(parent, child, data)

    monkeypatch.setattr(Parent, "publish", noting)
    family.join("w1.1")
    assert "w0.1" not in published
    monkeypatch.setattr(parent_end, "RESEND_EACH_NS", 0)
    family.children["w1.1"].report_urgent(Go())
    wait(lambda: "w0.1" in published)


# Waiting


def test_a_reader_that_is_busy_does_not_make_the_loop_spin(family, monkeypatch):
    family.parent.expect("w0.1")
    child = family.bear("w0.1")
    child.join(DEADLINE_S)
    heard = []
    on_readable = both_ends.SocketReader.on_readable
    monkeypatch.setattr(
        both_ends.SocketReader, "on_readable", lambda one: heard.append(one) or on_readable(one)
    )
    got, busy = [], gevent.event.Event()

    def read():
        for command in child.commands():
            if command is not None:
                got.append(command)
                busy.wait()

    family.tasks.append(gevent.spawn(read))
    family.parent.send("w0.1", Started(0, 1))
    wait(lambda: got)
    family.parent.send("w0.1", Started(0, 2))
    before = len(heard)
    for _ in range(200):
        gevent.sleep(0)
    gevent.sleep(0.01)
    assert heard[before:].count(child.reader) <= 1
    busy.set()
    wait(lambda: len(got) == 2)


def test_reports_of_many_children_are_let_come_before_they_are_read(family, monkeypatch):
    child = family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    rests, gate = [], gevent.event.Event()
    monkeypatch.setattr(both_ends, "sleep", lambda rest_s: rests.append(rest_s) or gate.wait())
    monkeypatch.setattr(parent_end, "GATHER_EACH_S", parent_end.MIN_GATHER_S / 2)
    family.parent.expect("w1.1")
    heard = len(family.heard)
    child.report_urgent(Started(0, 1))
    wait(lambda: rests)
    child.report_urgent(Started(0, 2))
    assert child.flush(DEADLINE_S)
    assert len(family.heard) == heard
    gate.set()
    wait(lambda: len(family.heard) == heard + 2)
    assert {*rests} == {parent_end.MIN_GATHER_S}
    family.parent.forget("w1.1")
    assert not family.parent.reader.gather_s


def test_timers_have_their_turn_however_much_there_is_to_read(family, monkeypatch):
    monkeypatch.setattr(both_ends, "TURN_NS", 0)
    family.join("w0.1")
    obeyed, seen = family.obeyed["w0.1"], set()
    for command in numbered(600):
        family.parent.send("w0.1", command)
    with gevent.Timeout(DEADLINE_S):
        while len(obeyed) < 600:
            yield_to_loop()
            seen.add(len(obeyed))
    assert len(seen) >= 100


def test_a_wake_up_that_is_missed_lasts_a_tick_at_the_most(family, monkeypatch):
    family.join("w0.1")
    monkeypatch.setattr(both_ends.SocketReader, "on_readable", lambda one: None)
    family.parent.send("w0.1", Go())
    wait(lambda: family.obeyed["w0.1"])


def test_whether_reports_are_unread_can_be_asked_and_they_are_read_then(family, monkeypatch):
    monkeypatch.setattr(both_ends, "TICK_S", DEADLINE_S)
    family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    for _ in range(20):  # turns of the loop, for all that was said at the start
        gevent.sleep(0.001)
    assert not family.parent.has_unread_messages()
    pusher = family.context.socket(zmq.PUSH)
    pusher.connect(family.parent.endpoints[1])
    pusher.send(pack_batch("w0.1", 0, 0, [ANY.pack(Go())]))
    until_s = time.monotonic() + DEADLINE_S
    while not family.parent.has_unread_messages():  # the loop does not turn meanwhile
        assert time.monotonic() < until_s
    assert Go() not in family.reported("w0.1")
    with gevent.Timeout(DEADLINE_S / 2):
        while Go() not in family.reported("w0.1"):
            gevent.sleep(0)
    pusher.close(0)


def test_who_reads_comes_to_an_end_when_the_bus_is_closed(tmp_path):
    context = zmq.Context()
    parent, child = (
        Parent(context, str(tmp_path), ANY, ANY),
        Child(context, str(tmp_path), "w0.1", ANY, ANY),
    )
    reading = [gevent.spawn(list, parent.reports()), gevent.spawn(list, child.commands())]
    gevent.sleep(0.001)
    child.__exit__(None, None, None)
    parent.__exit__(None, None, None)
    for one in reading:
        assert not any(one.get(timeout=DEADLINE_S))
    context.destroy(linger=0)


# Reports


class Sent:
    """What children hand over to ZeroMQ: how often, and how many of the next to lose."""

    def __init__(self) -> None:
        self.count = self.lost = 0
        self._send = child_end.send_nowait

    def send(self, socket, data):
        self.count += 1
        if self.lost:
            self.lost -= 1
            return True
        return self._send(socket, data)


@pytest.fixture
def sent(monkeypatch):
    made = Sent()
    monkeypatch.setattr(child_end, "send_nowait", made.send)
    return made


def test_what_is_sent_once_arrives_and_is_neither_kept_nor_acknowledged(family, sent):
    family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    batches = sent.count
    family.parent.send_once("w0.1", Go())
    wait(lambda: family.obeyed["w0.1"] == [Go()])
    assert family.parent.backlog("w0.1") == 0
    gevent.sleep(2 * child_end.ACK_NS / S_NS)
    assert sent.count == batches
    family.parent.send("w0.1", Started(0, 1))
    wait(lambda: family.obeyed["w0.1"] == [Go(), Started(0, 1)])
    family.parent.send_once("w9.1", Go())


def test_reports_arrive_in_order_and_travel_together(family, sent):
    child = family.join("w0.1")
    batches = sent.count
    records = numbered(5000)
    for record in records:
        child.report(record)
    wait(lambda: len(family.reported("w0.1", Started)) >= 5000)
    assert family.reported("w0.1", Started) == records
    assert sent.count - batches < 50


def test_reports_may_be_made_where_waiting_is_forbidden(family):
    child = family.join("w0.1")
    gevent.get_hub().loop.run_callback(child.report_nowait, Go())
    wait(lambda: family.reported("w0.1", Go))


def test_an_urgent_report_does_not_wait_for_company_and_takes_what_gathered(family, monkeypatch):
    child = family.join("w0.1")
    monkeypatch.setattr(child_end, "BATCH_S", 1000.0)
    child.report(Started(0, 1))
    child.report_urgent(Started(0, 2))
    wait(lambda: family.reported("w0.1", Started))
    assert family.reported("w0.1", Started) == [Started(0, 1), Started(0, 2)]


def test_urgent_reports_of_one_turn_travel_together(family, sent):
    child = family.join("w0.1")
    batches = sent.count
    records = numbered(500)
    for record in records:
        child.report_urgent(record)
    wait(lambda: len(family.reported("w0.1", Started)) == 500)
    assert family.reported("w0.1", Started) == records
    assert sent.count - batches < 5


def test_an_urgent_report_may_be_made_where_waiting_is_forbidden(family):
    child = family.join("w0.1")
    gevent.get_hub().loop.run_callback(child.report_urgent, Go())
    wait(lambda: family.reported("w0.1", Go))


def test_a_lost_batch_of_reports_is_told(family, sent):
    child = family.join("w0.1")
    sent.lost = 2
    for number in range(3):
        child.report(Go())
        assert child.flush(DEADLINE_S), number
    wait(lambda: family.reported("w0.1", Go))
    assert [note.text for note in family.reported("w0.1", Note)] == ["lost 2 reports of w0.1"]


def test_a_full_line_of_reports_makes_the_reporter_wait_and_loses_none(family, monkeypatch):
    monkeypatch.setattr(child_end, "MAX_REPORTS", 10)
    child = family.join("w0.1")
    records = numbered(1000)
    most = 0
    for record in records:
        child.report(record)
        most = max(most, child.backlog())
    wait(lambda: len(family.reported("w0.1", Started)) == 1000)
    assert family.reported("w0.1", Started) == records
    assert most <= 10


def test_flush_is_true_when_all_is_handed_over_and_false_at_its_deadline(family, monkeypatch):
    child = family.join("w0.1")
    child.report(Go())
    assert child.flush(DEADLINE_S) is True
    monkeypatch.setattr(child_end, "send_nowait", lambda socket, data: gevent.sleep(1000))
    child.report(Go())
    assert child.flush(0.01) is False


def test_a_child_that_holds_too_much_back_is_crowded_until_it_has_left(family, monkeypatch):
    monkeypatch.setattr(child_end, "MAX_HELD_BYTES", 100)
    child = family.join("w0.1")
    send, open_again = child_end.send_nowait, gevent.event.Event()
    monkeypatch.setattr(
        child_end, "send_nowait", lambda socket, data: open_again.wait() and send(socket, data)
    )
    assert not child.crowded()
    records = numbered(50)
    for record in records:
        child.report_urgent(record)
    assert child.crowded()
    open_again.set()
    wait(lambda: not child.crowded())
    wait(lambda: len(family.reported("w0.1", Started)) == 50)
    assert family.reported("w0.1", Started) == records


@pytest.fixture
def stuck(monkeypatch):
    """While it is not set, ZeroMQ has no room for reports."""
    send, room = child_end.send_nowait, gevent.event.Event()
    monkeypatch.setattr(child_end, "send_nowait", lambda *given: room.is_set() and send(*given))
    yield room
    room.set()


def test_a_crowded_child_drops_what_only_informs_and_says_how_much(family, monkeypatch, stuck):
    monkeypatch.setattr(child_end, "MAX_HELD_BYTES", 300)
    stuck.set()
    child = family.join("w0.1")
    stuck.clear()
    records = numbered(50)
    for record in records:
        child.report_urgent(record)
        child.report_nowait(Note("info", "x"))
    assert child.crowded()
    stuck.set()
    wait(lambda: len(family.reported("w0.1", Started)) == 50)
    assert family.reported("w0.1", Started) == records
    child.report(Go())
    wait(lambda: family.reported("w0.1", Go))
    notes = [note.text for note in family.reported("w0.1", Note)]
    informed = notes.count("x")
    assert 0 < informed < 50
    assert [note for note in notes if note != "x"] == [
        f"dropped {50 - informed} notes of w0.1: too many at once"
    ]


def test_who_can_wait_waits_for_room_but_not_for_ever(family, monkeypatch, stuck):
    monkeypatch.setattr(child_end, "MAX_HELD_BYTES", 100)
    monkeypatch.setattr(child_end, "ROOM_S", 0.01)
    stuck.set()
    child = family.join("w0.1")
    stuck.clear()
    for record in numbered(50):
        child.report(record)
    child.report(Note("info", "dropped"))
    assert child.crowded()
    assert not child.room.is_open
    stuck.set()
    assert child.room.wait(DEADLINE_S)
    wait(lambda: len(family.reported("w0.1", Started)) == 50)
    wait(lambda: family.reported("w0.1", Note))
    assert [note.text for note in family.reported("w0.1", Note)] == [
        "dropped 1 note of w0.1: too many at once"
    ]


def test_a_child_whose_parent_takes_nothing_is_crowded_however_little_it_holds(
    family, monkeypatch, stuck
):
    monkeypatch.setattr(child_end, "STALL_NS", 1_000_000)
    told = []
    family.parent.expect("w0.1")
    child = family.bear("w0.1", told.append)
    stuck.set()
    child.join(DEADLINE_S)
    assert child.flush(DEADLINE_S)
    stuck.clear()
    child.report(Go())
    wait(child.crowded)
    stuck.set()
    wait(lambda: not child.crowded())
    wait(lambda: family.reported("w0.1", Go))
    assert told == [True, False]


def test_children_of_a_parent_that_is_crowded_itself_have_no_room_until_it_is_over(family):
    early = family.join("w0.1")
    family.parent.expect("w9.1")  # nobody has heard of it yet
    family.parent.hold(True)
    wait(lambda: not early.room.is_open)
    late = family.join("w0.2")
    wait(lambda: not late.room.is_open)
    assert not early.crowded()
    early.report(Go())
    wait(lambda: family.reported("w0.1", Go))
    family.parent.send("w0.1", Go())
    family.parent.hold(False)
    for child in (early, late):
        assert child.room.wait(DEADLINE_S)
    assert family.obeyed == {"w0.1": [Go()], "w0.2": []}
    assert family.join("w9.1").room.is_open


def test_a_child_that_heard_of_holding_before_its_welcome_joins_all_the_same(family, monkeypatch):
    monkeypatch.setattr(parent_end, "RESEND_NS", 50_000_000)
    family.parent.hold(True)
    drop(family, monkeypatch, [1])
    child = family.join("w0.1")
    wait(lambda: not child.room.is_open)


def test_holding_does_not_reach_a_child_that_is_broken(family, monkeypatch):
    monkeypatch.setattr(parent_end, "MAX_UNACKED", 3)
    family.parent.expect("w0.1")
    for command in numbered(3):
        family.parent.send("w0.1", command)
    family.parent.hold(True)
    assert family.parent.backlog("w0.1") == 3


def test_much_that_is_reported_at_once_travels_in_pieces(family, sent):
    child = family.join("w0.1")
    batches = sent.count
    records = [Note("info", str(number) + "x" * 50_000) for number in range(50)]
    for record in records:
        child.report_urgent(record)
    wait(lambda: len(family.reported("w0.1", Note)) == 50)
    assert family.reported("w0.1", Note) == records
    assert sent.count - batches >= 10
    assert child.flush(DEADLINE_S)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(b"", id="empty"),
        pytest.param(pack(5), id="a number"),
        pytest.param(pack(["w0.1", 1]), id="too short"),
        pytest.param(pack([["w0.1"], 1, 0, []]), id="a name that is none"),
        pytest.param(pack(["w0.1", 3, 0, [["Nonsense", 1]]]), id="an unknown record"),
        pytest.param(pack(["w0.1", 2, 0, 7]), id="records that are none"),
        pytest.param(pack(["w0.1", "x", 0, []]), id="a number that is none"),
        pytest.param(pack(["w0.1", 2, None, []]), id="an acknowledgement that is none"),
    ],
)
def test_what_is_no_report_is_named_and_does_not_deafen_the_parent(family, data):
    child = family.join("w0.1")
    stranger = family.context.socket(zmq.PUSH)
    stranger.connect(bus.endpoints(family.directory)[1])
    stranger.send(data)
    stranger.close(linger=1000)
    wait(
        lambda: any(
            isinstance(one.record, Note) and ": expected " in f": {one.record.text}"
            for one in family.heard
        )
    )
    child.report(Go())
    wait(lambda: family.tasks[0].dead or family.reported("w0.1", Go))
    assert family.reported("w0.1", Go) == [Go()]


def test_a_report_that_cannot_be_packed_does_not_silence_the_child(family):
    child = family.join("w0.1")
    child.report(CrashSeen(0, "ValueError", "\udcff", 1))
    child.report(Go())
    wait(lambda: family.reported("w0.1", Go))
    assert family.reported("w0.1", Go) == [Go()]


ITSELF: list[object] = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (CrashSeen(0, "ValueError", "", 2**64), "CrashSeen.user_id"),
        (Stopped(0, [1, -(2**63) - 1], 0), "Stopped.stuck.1"),
        (StopUsers({"big": 2**65}), "StopUsers.timeout_s.big"),
        (StopUsers(object()), "StopUsers.timeout_s"),
        (StopUsers(Decimal("1.5")), "StopUsers.timeout_s"),
        (StopUsers(ITSELF), "StopUsers.timeout_s.0.0"),
    ],
)
def test_a_report_that_no_message_can_carry_is_left_out_and_named_once(family, record, what):
    child = family.join("w0.1")
    for _ in range(3):
        child.report(record)
        child.report_urgent(record)
    child.report(Go())
    wait(lambda: family.reported("w0.1", Go))
    (note,) = family.reported("w0.1", Note)
    assert note.level == "error"
    assert note.text.startswith(f"w0.1: {what}")
    assert note.text.endswith("; it is omitted (reported once)")
    assert len(note.text) < 400


def test_reports_that_cannot_be_packed_are_named_up_to_a_limit(family, monkeypatch):
    monkeypatch.setattr(child_end, "MAX_REFUSED", 3)
    child = family.join("w0.1")
    for number in range(10):
        child.report(StopUsers({f"name{number}": 2**64}))
    child.report(Go())
    wait(lambda: family.reported("w0.1", Go))
    assert len(family.reported("w0.1", Note)) == 3


@pytest.mark.parametrize("command", [["Nonsense", 1], ["Go", 1], 5, b"an envelope"])
def test_a_command_that_cannot_be_read_is_named_and_ends_the_reading(family, command):
    family.parent.expect("w0.1")
    child = family.bear("w0.1")
    child.join(DEADLINE_S)
    family.parent.publish("w0.1", pack([2, command]))
    with pytest.raises(PeerError, match="expected a known message, got "):
        list(child.commands())


DYING = """
import os, sys, zmq
from amoc.ipc.bus import Child
from amoc.ipc.messages.links import FROM_NODE, TO_WORKER
from amoc.ipc.messages.users import Stopped
context = zmq.Context()
with Child(context, sys.argv[1], "w0.1", TO_WORKER, FROM_NODE) as child:
    child.join(10.0)
    child.report(Stopped(0, [], 0))
    assert child.flush(10.0)
context.term()
os._exit(0)
"""


@pytest.mark.slow
def test_what_was_flushed_arrives_although_the_process_is_gone_at_once(family):
    family.parent.expect("w0.1")
    command = [sys.executable, "-c", DYING, family.directory]
    with subprocess.Popen(command) as dying:
        wait(lambda: dying.poll() is not None)
        assert dying.returncode == 0
    wait(lambda: family.reported("w0.1", Stopped))


def test_a_join_after_the_stop_of_another_incarnation_starts_anew(family):
    family.join("w0.1")
    family.parent.send("w0.1", StopUsers(1.0))
    family.parent.forget("w0.1")
    family.join("w0.2")
    family.parent.send("w0.2", Go())
    wait(lambda: family.obeyed["w0.2"])
    assert family.obeyed["w0.2"] == [Go()]


NONSENSE = [
    b"",
    b"\xc1",
    b"\x00" * 100,
    pack(None),
    pack({}),
    pack([]),
    pack(["w0.1"]),
    pack([["w0.1"], 1, 0, []]),
    pack(["w0.1", "first", 0, []]),
    pack(["w0.1", float("inf"), 0, []]),
    pack(["w0.1", float("nan"), 0, []]),
    pack(["w0.1", 1, 0, 7]),
    pack(["nobody", 1, 0, [["Go"]]]),
    pack(["w0.1", 1, 0, [None, 7, [], ["Unknown"], ["Started"], ["Started", 1, 2, 3], [[]], {}]]),
]


@pytest.mark.parametrize("frame", NONSENSE)
def test_a_frame_that_makes_no_sense_ends_nothing_and_is_named(family, frame):
    child = family.join("w0.1")
    stranger = family.context.socket(zmq.PUSH)
    stranger.connect(bus.endpoints(family.directory)[1])
    stranger.send(frame)
    sent = [Started(0, 1), Started(0, 2)]
    for one in sent:
        child.report(one)
    wait(lambda: family.reported("w0.1", Started) == sent)
    stranger.close()


def test_a_child_that_is_mute_reports_what_it_had_said_and_nothing_more(family):
    child = family.join("w0.1")
    child.report(Started(0, 1))
    child.mute()
    child.report(Started(0, 2))
    child.report_urgent(Started(0, 3))
    assert child.flush(DEADLINE_S)
    family.join("w0.2").report(Go())
    wait(lambda: Go() in family.reported("w0.2"))
    assert family.reported("w0.1", Started) == [Started(0, 1)]
