"""The bus over real sockets: exactly-once, in-order delivery despite late joins and losses."""

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
"""Messages for both directions."""


def wait(condition):
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0.001)


class Family:
    """A parent and its children in one process, with everything they received."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.context = zmq.Context()
        self.parent = Parent(self.context, directory, ANY, ANY)
        self.children: dict[str, Child] = {}
        self.received: list[Received] = []
        self.commands: dict[str, list[object]] = {}
        self.tasks = [gevent.spawn(self._receive)]

    def _receive(self):
        for envelope in self.parent.reports():
            if envelope is not None:
                self.received.append(envelope)

    def _receive_commands(self, child):
        for command in child.commands():
            if command is not None:
                self.commands[child.name].append(command)

    def bear(self, name: str, at_crowded=None) -> Child:
        child = self.children[name] = Child(
            self.context, self.directory, name, ANY, ANY, at_crowded
        )
        self.commands[name] = []
        return child

    def listen(self, name: str) -> None:
        self.tasks.append(gevent.spawn(self._receive_commands, self.children[name]))

    def join(self, name: str) -> Child:
        self.parent.expect(name)
        child = self.bear(name)
        child.join(DEADLINE_S)
        self.listen(name)
        wait(lambda: Received(name, Hello(os.getpid())) in self.received)
        return child

    def reported(self, name: str, kind: type = object) -> list[object]:
        return [
            one.record
            for one in self.received
            if one.child == name and isinstance(one.record, kind)
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


def test_a_joining_child_is_welcomed_and_reported_once(family):
    family.join("w0.1")
    family.children["w0.1"].report(Go())
    wait(lambda: Go() in family.reported("w0.1"))
    assert family.reported("w0.1") == [Hello(os.getpid()), Go()]


def test_joining_as_an_unexpected_child_times_out(family):
    with pytest.raises(PeerError, match=r"w7 was not welcomed by its parent within 0\.1 s"):
        family.bear("w7").join(0.1)
    assert family.received == []


def test_a_child_may_start_joining_before_it_is_expected(family, monkeypatch):
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


def test_an_unanswered_child_repeats_its_hello_only_at_the_hello_interval(family, monkeypatch):
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


def test_a_child_may_start_before_its_parent(tmp_path):
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


def test_commands_arrive_in_order_exactly_once(family):
    family.join("w0.1")
    commands = numbered(2000)
    for command in commands:
        family.parent.send("w0.1", command)
    wait(lambda: len(family.commands["w0.1"]) >= len(commands))
    assert family.commands["w0.1"] == commands
    assert not family.reported("w0.1", Note)


def test_commands_packed_into_one_frame_share_a_number_and_are_resent_together(family, monkeypatch):
    family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    commands = numbered(300)
    drop(family, monkeypatch, [3])  # the second; the welcome was number 1
    for first in (0, 100, 200):
        packed = map(family.parent.pack, commands[first : first + 100])
        family.parent.send_packed("w0.1", *packed)
    assert family.parent.backlog("w0.1") == 3
    wait(lambda: len(family.commands["w0.1"]) >= len(commands))
    assert family.commands["w0.1"] == commands
    wait(lambda: family.parent.backlog("w0.1") == 0)


def test_each_child_receives_only_its_own_commands(family):
    names = ("w3.1", "w30.1", "w3.10")
    for name in names:
        family.join(name)
    for name in names[1:]:
        family.parent.send(name, CrashSeen(0, name, "", 1))
    # Travels on the same socket, after all the others.
    family.parent.send("w3.1", CrashSeen(0, "w3.1", "", 1))
    wait(lambda: all(family.commands.values()))
    assert {name: [one.cause for one in heard] for name, heard in family.commands.items()} == {
        name: [name] for name in names
    }


def drop(family, monkeypatch, numbers):
    """Lose the first transmission of the commands with these numbers, as a full queue would."""
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
def test_dropped_commands_are_resent_in_order_exactly_once(family, monkeypatch, lost):
    monkeypatch.setattr(parent_end, "RESEND_NS", 50_000_000)
    family.join("w0.1")
    drop(family, monkeypatch, lost)
    commands = numbered(8)
    for command in commands:
        family.parent.send("w0.1", command)
    wait(lambda: len(family.commands["w0.1"]) >= 8)
    wait(lambda: family.parent.backlog("w0.1") == 0)
    assert family.commands["w0.1"] == commands


def test_a_gap_in_commands_is_reported_once(family, monkeypatch):
    monkeypatch.setattr(parent_end, "RESEND_NS", 50_000_000)
    family.join("w0.1")
    drop(family, monkeypatch, [4])
    commands = numbered(50)
    for command in commands:
        family.parent.send("w0.1", command)
    wait(lambda: len(family.commands["w0.1"]) >= 50)
    wait(lambda: family.reported("w0.1", Note))
    family.children["w0.1"].report(Stopped(0, [], 0))
    wait(lambda: family.reported("w0.1", Stopped))
    notes = family.reported("w0.1", Note)
    assert "missed command 4 (got 5)" in notes[0].text
    assert len(notes) == 1


def test_acknowledged_commands_are_released(family):
    family.join("w0.1")
    for command in numbered(100):
        family.parent.send("w0.1", command)
    assert family.parent.backlog("w0.1") > 0
    wait(lambda: family.parent.backlog("w0.1") == 0)


def test_sending_to_a_child_with_too_many_unacknowledged_commands_fails(family, monkeypatch):
    monkeypatch.setattr(parent_end, "MAX_UNACKED", 10)
    family.parent.expect("w0.1")
    for command in numbered(10):
        family.parent.send("w0.1", command)
    with pytest.raises(
        PeerError, match=r"w0\.1 must acknowledge its commands, but 10 are outstanding"
    ):
        family.parent.send("w0.1", Go())


def test_commands_to_and_reports_from_a_forgotten_child_are_discarded(family):
    family.join("w0.1")
    family.parent.forget("w0.1")
    family.parent.send("w0.1", Go())
    family.parent.send("w9.1", Go())
    family.children["w0.1"].report(Go())
    family.join("w0.2")
    assert family.commands["w0.1"] == []
    assert not family.reported("w0.1", Go)


def test_backlog_counts_unacknowledged_commands_and_their_bytes(family):
    family.parent.expect("w0.1")
    for command in numbered(10):
        family.parent.send("w0.1", command)
    assert family.parent.backlog("w0.1") == 10
    assert family.parent.backlog("w9.1") == family.parent.backlog_bytes("w9.1") == 0
    assert family.parent.backlog_bytes("w0.1") == 10 * len(pack([1, ["Started", 0, 1]]))
    family.join("w0.2")
    for command in numbered(10):
        family.parent.send("w0.2", command)
    wait(lambda: family.parent.backlog("w0.2") == 0)
    assert family.parent.backlog_bytes("w0.2") == 0


def test_a_child_that_does_not_keep_up_accepts_no_mail(family, monkeypatch):
    monkeypatch.setattr(parent_end, "MAX_MAIL", 3)
    family.parent.expect("w0.1")
    accepted = []
    for command in numbered(4):
        accepted.append(family.parent.accepts_mail("w0.1"))
        family.parent.send("w0.1", command)
    assert accepted == [True, True, True, False]
    monkeypatch.setattr(parent_end, "MAX_MAIL", 5)
    assert family.parent.accepts_mail("w0.1")
    monkeypatch.setattr(parent_end, "MAX_MAIL_BYTES", family.parent.backlog_bytes("w0.1"))
    assert not family.parent.accepts_mail("w0.1")


def test_an_acknowledgement_travels_with_the_next_report(family, monkeypatch):
    monkeypatch.setattr(child_end, "ACK_NS", 3600 * S_NS)
    monkeypatch.setattr(parent_end, "RESEND_NS", 3600 * S_NS)
    child = family.join("w0.1")
    for command in numbered(10):
        family.parent.send("w0.1", command)
    wait(lambda: len(family.commands["w0.1"]) == 10)
    assert family.parent.backlog("w0.1") == 10
    child.report_nowait(Started(0, 1))
    wait(lambda: family.parent.backlog("w0.1") == 0)


def test_without_a_report_acknowledgements_are_sent_by_time_or_command_count(family, monkeypatch):
    monkeypatch.setattr(parent_end, "RESEND_NS", 3600 * S_NS)
    family.join("w0.1")
    family.parent.send("w0.1", Go())
    wait(lambda: family.parent.backlog("w0.1") == 0)
    monkeypatch.setattr(child_end, "ACK_NS", 3600 * S_NS)
    for command in numbered(child_end.ACK_AT + 5):
        family.parent.send("w0.1", command)
    wait(lambda: family.parent.backlog("w0.1") <= 5)


def test_large_commands_are_acknowledged_at_once(family, monkeypatch):
    monkeypatch.setattr(child_end, "ACK_NS", 3600 * S_NS)
    monkeypatch.setattr(parent_end, "RESEND_NS", 3600 * S_NS)
    family.join("w0.1")
    large = CrashSeen(0, 1, "x", "x" * child_end.ACK_BYTES)
    for _ in range(3):
        family.parent.send("w0.1", large)
        wait(lambda: family.parent.backlog_bytes("w0.1") == 0)


@pytest.mark.parametrize(("most", "most_bytes"), [(10, 1 << 20), (1000, 100)])
def test_resends_are_bounded_per_round_and_everything_arrives(
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
        # Within one round the backlog does not change and numbers ascend.
        now = parent.backlog(child), unpack(data)[0]
        if again and again[-1][-1][0] == now[0] and again[-1][-1][1] < now[1]:
            again[-1].append(now)
        else:
            again.append([now])
        publish(parent, child, data)

    monkeypatch.setattr(Parent, "publish", noting)
    wait(lambda: len(family.commands["w0.1"]) == 100)
    assert family.commands["w0.1"] == commands
    assert len(again) >= 10
    assert max(map(len, again)) <= 10


def test_the_resend_delay_grows_with_the_number_of_children(family, monkeypatch):
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


def test_a_busy_reader_does_not_make_the_loop_spin(family, monkeypatch):
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


def test_reports_of_many_children_are_gathered_before_they_are_read(family, monkeypatch):
    child = family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    rests, gate = [], gevent.event.Event()
    monkeypatch.setattr(both_ends, "sleep", lambda rest_s: rests.append(rest_s) or gate.wait())
    monkeypatch.setattr(parent_end, "GATHER_EACH_S", parent_end.MIN_GATHER_S / 2)
    family.parent.expect("w1.1")
    heard = len(family.received)
    child.report_urgent(Started(0, 1))
    wait(lambda: rests)
    child.report_urgent(Started(0, 2))
    assert child.flush(DEADLINE_S)
    assert len(family.received) == heard
    gate.set()
    wait(lambda: len(family.received) == heard + 2)
    assert {*rests} == {parent_end.MIN_GATHER_S}
    family.parent.forget("w1.1")
    assert not family.parent.reader.gather_s


def test_timers_run_while_many_messages_are_read(family, monkeypatch):
    monkeypatch.setattr(both_ends, "TURN_NS", 0)
    family.join("w0.1")
    commands, seen = family.commands["w0.1"], set()
    for command in numbered(600):
        family.parent.send("w0.1", command)
    with gevent.Timeout(DEADLINE_S):
        while len(commands) < 600:
            yield_to_loop()
            seen.add(len(commands))
    assert len(seen) >= 100


def test_a_missed_wakeup_delays_reading_by_at_most_one_tick(family, monkeypatch):
    family.join("w0.1")
    monkeypatch.setattr(both_ends.SocketReader, "on_readable", lambda one: None)
    family.parent.send("w0.1", Go())
    wait(lambda: family.commands["w0.1"])


def test_has_unread_messages_sees_a_report_before_the_loop_reads_it(family, monkeypatch):
    monkeypatch.setattr(both_ends, "TICK_S", DEADLINE_S)
    family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    for _ in range(20):  # loop turns, so that the messages of the handshake are read
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


def test_readers_end_when_the_bus_is_closed(tmp_path):
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
    """Counts the batches that children send by ZeroMQ; loses the next `lost` ones."""

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


def test_send_once_delivers_without_backlog_or_acknowledgement(family, sent):
    family.join("w0.1")
    wait(lambda: family.parent.backlog("w0.1") == 0)
    batches = sent.count
    family.parent.send_once("w0.1", Go())
    wait(lambda: family.commands["w0.1"] == [Go()])
    assert family.parent.backlog("w0.1") == 0
    gevent.sleep(2 * child_end.ACK_NS / S_NS)
    assert sent.count == batches
    family.parent.send("w0.1", Started(0, 1))
    wait(lambda: family.commands["w0.1"] == [Go(), Started(0, 1)])
    family.parent.send_once("w9.1", Go())


def test_reports_arrive_in_order_and_in_batches(family, sent):
    child = family.join("w0.1")
    batches = sent.count
    records = numbered(5000)
    for record in records:
        child.report(record)
    wait(lambda: len(family.reported("w0.1", Started)) >= 5000)
    assert family.reported("w0.1", Started) == records
    assert sent.count - batches < 50


def test_report_nowait_works_inside_a_loop_callback(family):
    child = family.join("w0.1")
    gevent.get_hub().loop.run_callback(child.report_nowait, Go())
    wait(lambda: family.reported("w0.1", Go))


def test_an_urgent_report_flushes_the_batch_at_once(family, monkeypatch):
    child = family.join("w0.1")
    monkeypatch.setattr(child_end, "BATCH_S", 1000.0)
    child.report(Started(0, 1))
    child.report_urgent(Started(0, 2))
    wait(lambda: family.reported("w0.1", Started))
    assert family.reported("w0.1", Started) == [Started(0, 1), Started(0, 2)]


def test_urgent_reports_of_one_loop_turn_share_a_batch(family, sent):
    child = family.join("w0.1")
    batches = sent.count
    records = numbered(500)
    for record in records:
        child.report_urgent(record)
    wait(lambda: len(family.reported("w0.1", Started)) == 500)
    assert family.reported("w0.1", Started) == records
    assert sent.count - batches < 5


def test_report_urgent_works_inside_a_loop_callback(family):
    child = family.join("w0.1")
    gevent.get_hub().loop.run_callback(child.report_urgent, Go())
    wait(lambda: family.reported("w0.1", Go))


def test_lost_reports_are_counted_and_reported(family, sent):
    child = family.join("w0.1")
    sent.lost = 2
    for number in range(3):
        child.report(Go())
        assert child.flush(DEADLINE_S), number
    wait(lambda: family.reported("w0.1", Go))
    assert [note.text for note in family.reported("w0.1", Note)] == ["lost 2 reports of w0.1"]


def test_a_full_report_queue_blocks_the_reporter_and_loses_nothing(family, monkeypatch):
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


def test_flush_returns_true_when_empty_and_false_at_its_deadline(family, monkeypatch):
    child = family.join("w0.1")
    child.report(Go())
    assert child.flush(DEADLINE_S) is True
    monkeypatch.setattr(child_end, "send_nowait", lambda socket, data: gevent.sleep(1000))
    child.report(Go())
    assert child.flush(0.01) is False


def test_a_child_with_too_many_held_bytes_is_crowded_until_they_are_sent(family, monkeypatch):
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
    """An event; ZeroMQ has no room for reports until it is set."""
    send, room = child_end.send_nowait, gevent.event.Event()
    monkeypatch.setattr(child_end, "send_nowait", lambda *given: room.is_set() and send(*given))
    yield room
    room.set()


def test_a_crowded_child_drops_notes_and_reports_how_many(family, monkeypatch, stuck):
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


def test_a_blocking_report_waits_for_room_only_until_its_timeout(family, monkeypatch, stuck):
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


def test_a_child_whose_parent_stalls_is_crowded_even_with_one_report(family, monkeypatch, stuck):
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


def test_a_holding_parent_closes_its_childrens_room_until_it_releases(family):
    early = family.join("w0.1")
    family.parent.expect("w9.1")  # it has not joined yet
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
    assert family.commands == {"w0.1": [Go()], "w0.2": []}
    assert family.join("w9.1").room.is_open


def test_a_child_told_to_hold_before_its_welcome_still_joins(family, monkeypatch):
    monkeypatch.setattr(parent_end, "RESEND_NS", 50_000_000)
    family.parent.hold(True)
    drop(family, monkeypatch, [1])
    child = family.join("w0.1")
    wait(lambda: not child.room.is_open)


def test_hold_is_not_sent_to_a_child_with_a_full_backlog(family, monkeypatch):
    monkeypatch.setattr(parent_end, "MAX_UNACKED", 3)
    family.parent.expect("w0.1")
    for command in numbered(3):
        family.parent.send("w0.1", command)
    family.parent.hold(True)
    assert family.parent.backlog("w0.1") == 3


def test_a_burst_of_large_reports_is_split_into_batches(family, sent):
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
        pytest.param(b"\xc1", id="not msgpack"),
        pytest.param(b"", id="empty"),
        pytest.param(pack(5), id="a number"),
        pytest.param(pack(["w0.1", 1]), id="too short"),
        pytest.param(pack([["w0.1"], 1, 0, []]), id="name is not a string"),
        pytest.param(pack(["w0.1", 3, 0, [["Nonsense", 1]]]), id="an unknown record"),
        pytest.param(pack(["w0.1", 2, 0, 7]), id="records are not a list"),
        pytest.param(pack(["w0.1", "x", 0, []]), id="number is not an integer"),
        pytest.param(pack(["w0.1", 2, None, []]), id="acknowledgement is not an integer"),
    ],
)
def test_a_malformed_report_is_noted_and_the_parent_keeps_reading(family, data):
    child = family.join("w0.1")
    stranger = family.context.socket(zmq.PUSH)
    stranger.connect(bus.endpoints(family.directory)[1])
    stranger.send(data)
    stranger.close(linger=1000)
    wait(
        lambda: any(
            isinstance(one.record, Note) and ": expected " in f": {one.record.text}"
            for one in family.received
        )
    )
    child.report(Go())
    wait(lambda: family.tasks[0].dead or family.reported("w0.1", Go))
    assert family.reported("w0.1", Go) == [Go()]


def test_a_lone_surrogate_in_a_report_does_not_stop_the_child_reporting(family):
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
def test_an_unpackable_report_is_omitted_and_noted_once(family, record, what):
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


def test_notes_about_unpackable_reports_are_limited(family, monkeypatch):
    monkeypatch.setattr(child_end, "MAX_REFUSED", 3)
    child = family.join("w0.1")
    for number in range(10):
        child.report(StopUsers({f"name{number}": 2**64}))
    child.report(Go())
    wait(lambda: family.reported("w0.1", Go))
    assert len(family.reported("w0.1", Note)) == 3


@pytest.mark.parametrize("command", [["Nonsense", 1], ["Go", 1], 5, b"an envelope"])
def test_an_unreadable_command_raises_a_peer_error(family, command):
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
def test_flushed_reports_arrive_although_the_process_exits_at_once(family):
    family.parent.expect("w0.1")
    command = [sys.executable, "-c", DYING, family.directory]
    with subprocess.Popen(command) as dying:
        wait(lambda: dying.poll() is not None)
        assert dying.returncode == 0
    wait(lambda: family.reported("w0.1", Stopped))


def test_a_new_incarnation_does_not_receive_commands_of_the_previous_one(family):
    family.join("w0.1")
    family.parent.send("w0.1", StopUsers(1.0))
    family.parent.forget("w0.1")
    family.join("w0.2")
    family.parent.send("w0.2", Go())
    wait(lambda: family.commands["w0.2"])
    assert family.commands["w0.2"] == [Go()]


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
def test_a_nonsense_frame_does_not_disturb_other_reports(family, frame):
    child = family.join("w0.1")
    stranger = family.context.socket(zmq.PUSH)
    stranger.connect(bus.endpoints(family.directory)[1])
    stranger.send(frame)
    sent = [Started(0, 1), Started(0, 2)]
    for one in sent:
        child.report(one)
    wait(lambda: family.reported("w0.1", Started) == sent)
    stranger.close()


def test_a_muted_child_sends_earlier_reports_and_no_later_ones(family):
    child = family.join("w0.1")
    child.report(Started(0, 1))
    child.mute()
    child.report(Started(0, 2))
    child.report_urgent(Started(0, 3))
    assert child.flush(DEADLINE_S)
    family.join("w0.2").report(Go())
    wait(lambda: Go() in family.reported("w0.2"))
    assert family.reported("w0.1", Started) == [Started(0, 1)]
