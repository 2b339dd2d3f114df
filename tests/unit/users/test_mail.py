"""Mail is received once and in order by its addressee; undelivered mail is counted."""

from __future__ import annotations

from math import inf

import gevent
import pytest
from gevent import get_hub
from hypothesis import given
from hypothesis import strategies as st

import amoc
from amoc import metrics
from amoc.base import pause as pausing
from amoc.base.context import WorkerContext
from amoc.base.errors import ClosedError, MailError, MailTimeout, PeerError, ScenarioError
from amoc.base.operator_log import OperatorLog
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.users import mail
from amoc.users.mail import MAX_BYTES, MailRouter
from amoc.users.mailbox import MAX_BOX_BYTES, MAX_MESSAGES, Mailbox
from amoc.users.placement import Placement, one_node
from amoc.users.user import User

DEADLINE_S = 60.0


class Crowd:
    """A minimal pool for users."""

    seed = 1
    repeat_num = 1.0
    repeat_interval_s = 0.0
    crash_pause_s = 0.1
    wait_turn = None

    def __init__(self, town: Town) -> None:
        self.town = town
        self.states = memoryview(bytearray(3000))

    def run_once(self, user_id):
        self.town.results[user_id] = self.town.scripts.get(user_id, lambda _: None)(user_id)

    def crashed(self, user, error):
        self.town.crashes.append(error)

    def iteration_ended(self, user):
        pass

    def left(self, user):
        self.town.users.pop(user.id, None)

    def turn_away(self, user_id):
        pass


class Town:
    """Several workers in one process: a router each, and a node that forwards envelopes at once."""

    def __init__(self, workers: int) -> None:
        self.placement = Placement(one_node(workers))
        self.users: dict[int, User] = {}
        self.results: dict[int, object] = {}
        self.scripts: dict[int, object] = {}
        self.crashes: list[BaseException] = []
        self.notes: list[str] = []
        self.envelopes = 0
        self.cut = self.crowded = False
        self.crowd = Crowd(self)
        self.posts = [self.open(worker, 1) for worker in range(workers)]

    def open(self, worker: int, incarnation: int) -> MailRouter:
        def find(user_id):
            here = self.placement.worker_of(user_id) == worker
            return self.users.get(user_id) if here else None

        outbox = Outbox(self.carry)
        crowded = lambda: self.crowded  # noqa: E731
        return MailRouter(
            WorkerId("node0", worker, incarnation),
            self.placement,
            outbox,
            find,
            OperatorLog(lambda _, text: self.notes.append(text)),
            crowded,
        )

    def carry(self, _, envelope):
        self.envelopes += 1
        part, worker, incarnation = envelope.header()
        assert (part, incarnation) == (Part.MAIL, 0)
        if not self.cut:
            get_hub().loop.run_callback(self.posts[worker].handle, envelope.body)

    def post(self, user_id: int) -> MailRouter:
        return self.posts[self.placement.worker_of(user_id)]

    def settle(self, *user_ids: int) -> None:
        """Add users that never run."""
        for user_id in user_ids:
            self.users[user_id] = User(user_id, self.crowd)

    def enter(self, user_id: int, script) -> User:
        """Start a user that runs `script`."""
        self.scripts[user_id] = script
        user = self.users[user_id] = User(user_id, self.crowd)
        get_hub().loop.run_callback(user.switch)
        return user

    def result(self, user_id: int):
        until(lambda: user_id in self.results or self.crashes)
        if self.crashes:
            raise self.crashes[0]
        return self.results[user_id]

    def box(self, user_id: int) -> list[object]:
        """Empty a user's mailbox, and return its messages."""
        box = self.users[user_id].mailbox
        return [box.take(None, 0) for _ in range(len(box))] if box else []


@pytest.fixture
def town():
    made, context = Town(2), WorkerContext()
    context.set(MailRouter, made.posts[0])
    with context.activated():
        yield made


def until(condition):
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0.001)


def counted() -> dict[str, int]:
    """Return the mail counters, which carry over from test to test."""
    found = {metric.name: metric.value for metric in metrics.read()}
    kinds = ("sent", "received", "refused", "undeliverable")
    return {kind: int(found.get(f"mail_{kind}", 0)) for kind in kinds}


@pytest.fixture
def tally():
    before = counted()
    return lambda: {k: v - before[k] for k, v in counted().items() if v != before[k]}


# From one user to another


@pytest.mark.parametrize("to", [1, 2, 3], ids=["itself", "another worker", "the same worker"])
def test_a_message_reaches_its_addressee(town, tally, to):
    town.settle(1, 2, 3)
    town.posts[0].send(to, ("hello", 7), check=False)
    until(lambda: town.users[to].mailbox)
    assert town.box(to) == [("hello", 7)]
    assert tally() == {"sent": 1, "received": 1}


@pytest.mark.parametrize("to", [2, 3], ids=["another worker", "the same worker"])
def test_messages_stay_in_order(town, to):
    town.enter(to, lambda _: [amoc.receive() for _ in range(900)])
    for number in range(900):
        town.posts[0].send(to, number, check=False)
    assert town.result(to) == list(range(900))


def test_messages_of_one_loop_turn_share_an_envelope(town):
    town.settle(2)
    for number in range(900):
        town.posts[0].send(2, number, check=False)
    until(lambda: town.users[2].mailbox and len(town.users[2].mailbox) == 900)
    assert town.envelopes == 1


@pytest.mark.parametrize(("size", "per_turn"), [(0, 1023), (3072, 256)])
def test_a_user_that_keeps_sending_yields_to_the_loop_every_mebibyte(town, size, per_turn):
    sent = 0

    def send_on(_):
        nonlocal sent
        for _ in range(4 * per_turn):
            sent += 1
            amoc.send(2, bytes(size))

    town.settle(2)
    town.enter(1, send_on)
    seen = []
    while 1 not in town.results:
        gevent.sleep(0)
        if sent not in seen:
            seen.append(sent)
    assert seen == [turn * per_turn for turn in range(1, 5)]


plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        st.text(st.characters()),
        st.binary(),
    ),
    lambda inner: st.one_of(
        st.lists(inner).map(tuple), st.dictionaries(st.text() | st.integers(0, 9), inner)
    ),
    max_leaves=20,
)


@given(plain, st.sampled_from([2, 3]))
def test_packable_messages_arrive_unchanged(message, to):
    town = Town(2)
    town.settle(2, 3)
    town.posts[0].send(to, message, check=True)
    assert town.box(to) == [message]


@pytest.mark.parametrize("to", [2, 3], ids=["another worker", "the same worker"])
def test_messages_are_copies_and_lists_arrive_as_tuples(town, to):
    town.settle(2, 3)
    message = {"list": [1, [2]], "dict": {"a": [3]}}
    town.posts[0].send(to, message, check=True)
    message["list"].append("later")
    message["dict"]["a"].append("later")
    assert town.box(to) == [{"list": (1, (2,)), "dict": {"a": (3,)}}]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), max_size=60))
def test_messages_between_each_pair_stay_in_order_and_none_is_lost(letters):
    town = Town(3)
    town.settle(*range(1, 7))
    for number, (sender, to) in enumerate(letters):
        town.posts[sender].send(to, (sender, number), check=False)
    until(lambda: sum(len(user.mailbox or ()) for user in town.users.values()) == len(letters))
    for to in range(1, 7):
        box = town.box(to)
        for sender in range(3):
            mine = [number for who, number in box if who == sender]
            assert mine == [n for n, one in enumerate(letters) if one == (sender, to)]


# What cannot be sent


class Unhashable(dict):
    __hash__ = object.__hash__


def too_deep() -> object:
    nested: object = 1
    for _ in range(2000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (object(), r"got object: can not serialize"),
        ({1, 2}, r"got set: "),
        (["x", lambda: None], r"got list: "),
        (2**64, r"got int: "),
        (too_deep(), r"got list: "),
        (b"x" * MAX_BYTES, r"must be at most 1048576 bytes, got 1048581"),
    ],
    ids=["an object", "a set", "within a list", "too big a number", "too deep", "too long"],
)
def test_an_unpackable_message_is_refused_and_the_next_one_is_delivered(town, tally, message, why):
    town.settle(2)
    with pytest.raises(ScenarioError, match=why):
        town.posts[0].send(2, message, check=False)
    town.posts[0].send(2, "fine", check=True)
    assert town.box(2) == ["fine"]
    assert tally() == {"sent": 1, "received": 1}


@pytest.mark.parametrize("to", [2, 3], ids=["another worker", "the same worker"])
def test_a_message_that_cannot_be_unpacked_is_counted_and_affects_no_other(town, tally, to):
    town.settle(2, 3)
    town.posts[0].send(to, "before", check=False)
    town.posts[0].send(to, {Unhashable(): 1}, check=False)
    town.posts[0].send(to, "behind", check=False)
    with pytest.raises(MailError, match=r"cannot be unpacked by msgpack"):
        town.posts[0].send(to, {Unhashable(): 1}, check=True)
    assert town.box(to) == ["before", "behind"]
    assert tally() == {"sent": 4, "received": 2, "undeliverable": 2}


@pytest.mark.parametrize("to", [0, -1, "7", 1.0, None])
def test_an_addressee_must_be_a_user_id(town, to):
    with pytest.raises(ScenarioError, match=r"requires a user id of at least 1, got"):
        town.posts[0].send(to, "hello", check=False)


def test_outside_a_run_there_is_no_mail():
    with pytest.raises(ClosedError, match=r"send\(\) is for users"):
        amoc.send(1, "hello")
    with pytest.raises(ClosedError, match=r"receive\(\) is available only to a user"):
        amoc.receive()


def test_a_greenlet_that_is_not_a_user_may_send_but_not_receive(town):
    town.settle(1)

    def helper():
        amoc.send(1, "from a helper", check=True)
        with pytest.raises(ClosedError):
            amoc.receive()
        return True

    assert gevent.spawn(helper).get(timeout=DEADLINE_S)
    assert town.box(1) == ["from a helper"]


def test_a_handler_in_the_event_loop_may_send_without_switching_to_a_user(town):
    seen = []
    town.enter(1, lambda _: seen.append(amoc.receive()))
    gevent.sleep(0)

    def handler():
        amoc.send(1, "from a handler")
        seen.append("sent")

    get_hub().loop.run_callback(handler)
    until(lambda: len(seen) == 2)
    assert seen == ["sent", "from a handler"]


# Addressees that do not exist


@pytest.mark.parametrize("to", [4, 5], ids=["another worker", "the same worker"])
def test_mail_for_a_missing_user_is_counted_and_raises_only_with_check(town, tally, to):
    town.posts[0].send(to, "hello", check=False)
    until(lambda: tally() == {"sent": 1, "undeliverable": 1})
    with pytest.raises(MailError, match=rf"user {to} cannot receive mail"):
        town.posts[0].send(to, "hello", check=True)


def test_a_mailbox_ends_with_its_user(town, tally):
    town.enter(2, lambda _: amoc.receive())
    for number in range(3):
        town.posts[0].send(2, number, check=False)
    assert town.result(2) == 0
    until(lambda: 2 not in town.users)
    assert tally() == {"sent": 3, "received": 3}
    town.enter(2, lambda _: amoc.receive())
    town.posts[0].send(2, "for the new one", check=True)
    until(lambda: town.results[2] == "for the new one")


def test_a_mailbox_survives_repetitions(town):
    town.crowd.repeat_num = 3
    got = []
    town.enter(2, lambda _: got.append(amoc.receive(timeout=DEADLINE_S)))
    for number in range(3):
        town.posts[0].send(2, number, check=False)
    until(lambda: len(got) == 3 or town.crashes)
    assert got == [0, 1, 2]


def test_a_full_mailbox_refuses_new_messages_and_logs_it_once(town, tally):
    town.settle(2, 4)
    for number in range(MAX_MESSAGES + 5):
        town.posts[0].send(2, number, check=False)
    with pytest.raises(MailError, match=r"mailbox of user 2 is full: it holds 1000"):
        town.posts[0].send(2, "more", check=True)
    for number in range(MAX_MESSAGES + 1):
        town.posts[0].send(4, number, check=False)
    until(lambda: sum(tally().values()) == 2 * tally()["sent"])
    assert tally()["refused"] == 7
    assert tally()["received"] == 2 * MAX_MESSAGES
    assert len(town.notes) == 1
    assert "mailbox of user 2 is full (1000 messages or 16 MiB)" in town.notes[0]
    assert town.box(2) == list(range(MAX_MESSAGES))


def test_a_mailbox_is_also_limited_by_bytes_and_freed_by_receiving(town, tally):
    town.settle(2, 3)
    message = b"x" * (MAX_BYTES - 5)
    for to in (2, 3):
        for _ in range(16):
            town.posts[0].send(to, message, check=True)
        box = town.users[to].mailbox
        assert box.size == MAX_BOX_BYTES
        with pytest.raises(MailError, match=r"is full: it holds 1000 messages or 16 MiB"):
            town.posts[0].send(to, None, check=True)
        assert box.take(lambda one: one == message, 0) == message
        town.posts[0].send(to, None, check=True)
        assert town.box(to) == [message] * 15 + [None]
        assert box.size == 0
    assert tally() == {"sent": 36, "received": 34, "refused": 2}


@given(st.lists(st.one_of(st.integers(1, 5 << 20), st.just("first"), st.just("third"))))
def test_a_mailbox_tracks_its_size_and_never_exceeds_its_limit(steps):
    box, model = Mailbox(), []
    for step in steps:
        if isinstance(step, int):
            fits = sum(model) + step <= MAX_BOX_BYTES
            assert box.put((len(model), step), step) is fits
            model += [step] * fits
        elif step == "first" and model:
            assert box.take(None, 0)[1] == model.pop(0)
        elif step == "third" and len(model) > 2:
            looked = []
            taken = box.take(lambda one, looked=looked: looked.append(one) or len(looked) == 3, 0)
            assert taken[1] == model.pop(2)
        assert (box.size, len(box)) == (sum(model), len(model))


def test_mail_that_cannot_leave_the_worker_is_refused_and_logged_once(town, tally):
    town.settle(2, 3)
    town.crowded = True
    for _ in range(3):
        amoc.send(2, "hello")
    with pytest.raises(MailError, match="mail to user 2 cannot leave its worker"):
        amoc.send(2, "hello", check=True)
    amoc.send(3, "within the worker")
    assert tally() == {"sent": 5, "refused": 4, "received": 1}
    assert len(town.notes) == 1
    assert "users of worker 0 send more mail than it can pass on" in town.notes[0]


def test_a_user_that_keeps_sending_does_not_block_the_loop(town):
    town.settle(2, 3)

    def script(_):
        while not ended:
            amoc.send(2, "hello")
            amoc.send(3, "hello")

    ended = []
    town.enter(1, script)
    gevent.sleep(0.01)
    ended.append(True)
    until(lambda: 1 in town.results)
    assert not town.crashes


def test_an_unanswered_check_raises_at_the_deadline(town, monkeypatch):
    monkeypatch.setattr(mail, "CHECK_S", 0.01)
    town.settle(2)
    town.cut = True
    with pytest.raises(PeerError, match=r"worker 1 did not confirm within 0\.01 s that user 2"):
        town.posts[0].send(2, "hello", check=True)
    assert "0 checks under way" in repr(town.posts[0])


def test_an_answer_meant_for_the_previous_worker_is_ignored(town, monkeypatch):
    monkeypatch.setattr(mail, "CHECK_S", 0.05)
    town.settle(2)
    asking = gevent.spawn(town.posts[0].send, 2, "hello", True)
    gevent.sleep(0)
    town.posts[0] = town.open(0, incarnation=2)  # its answer comes to the worker that follows
    waiting = gevent.spawn(town.posts[0].send, 4, "hello", True)
    with pytest.raises(PeerError):
        asking.get(timeout=DEADLINE_S)
    with pytest.raises(MailError, match="user 4"):
        waiting.get(timeout=DEADLINE_S)


def test_a_check_in_the_event_loop_itself_is_refused(town):
    errors = []

    def handler():
        try:
            amoc.send(2, "hello", check=True)
        except ScenarioError as error:
            errors.append(str(error))

    get_hub().loop.run_callback(handler)
    until(lambda: errors)
    assert "must not wait" in errors[0]


@pytest.mark.parametrize("body", [b"\xc1", b"\x05", b"\x91\x01", b"\xa1x"])
def test_an_invalid_envelope_raises_a_clear_error(town, body):
    with pytest.raises(PeerError, match=r"expected (mail|a stream of msgpack), got b"):
        town.posts[0].handle(body)


# Receiving


def test_receive_waits_until_there_is_a_message(town):
    town.enter(1, lambda _: amoc.receive())
    gevent.sleep(0)
    amoc.send(1, "at last")
    assert town.result(1) == "at last"


def test_messages_that_do_not_match_stay_in_order(town):
    def script(_):
        first = amoc.receive(match=lambda message: message == "wanted")
        return first, [amoc.receive() for _ in range(4)]

    town.enter(1, script)
    for message in ("a", "b", "c", "wanted", "d"):
        amoc.send(1, message)
        gevent.sleep(0)
    assert town.result(1) == ("wanted", ["a", "b", "c", "d"])


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_receive_with_match_takes_the_first_matching_message(put, wanted):
    box, model = Mailbox(), list(enumerate(put))
    for message in model:
        assert box.put(message, 1)
    for kind in wanted:
        expected = next((message for message in model if message[1] == kind), None)
        try:
            found = box.take(lambda message, kind=kind: message[1] == kind, 0)
        except MailTimeout:
            found = None
        assert found == expected
        if found is not None:
            model.remove(found)
    assert [box.take(None, 0) for _ in range(len(box))] == model


def test_match_is_called_once_for_each_message(town):
    looks = []

    def match(message):
        looks.append(message)
        return message == "wanted"

    town.enter(1, lambda _: amoc.receive(match))
    for number in range(50):
        amoc.send(1, number)
        gevent.sleep(0)
    amoc.send(1, "wanted")
    assert town.result(1) == "wanted"
    assert looks == [*range(50), "wanted"]


def test_more_mail_may_arrive_while_a_match_waits(town):
    def match(message):
        gevent.sleep(0.001)
        return message == 9

    town.enter(1, lambda _: (amoc.receive(match), len(amoc.user.current().mailbox)))
    for number in range(10):
        amoc.send(1, number)
        gevent.sleep(0)
    assert town.result(1) == (9, 9)


def test_a_match_that_raises_loses_no_message(town):
    def script(_):
        with pytest.raises(ZeroDivisionError):
            amoc.receive(match=lambda message: 1 / 0)
        return amoc.receive()

    town.enter(1, script)
    amoc.send(1, "kept")
    assert town.result(1) == "kept"


@pytest.mark.parametrize(
    ("match", "said"),
    [
        (None, "a message did not arrive within 0 s"),
        (lambda message: False, "a message that matches did not arrive within 0 s, only 1 other"),
    ],
)
def test_receive_gives_up_at_its_timeout(town, match, said):
    def script(_):
        if match:
            amoc.send(1, "other")
        with pytest.raises(MailTimeout) as caught:
            amoc.receive(match, timeout=0)
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, amoc.AmocError)
        return str(caught.value)

    town.enter(1, script)
    assert town.result(1) == said


def test_a_user_that_keeps_polling_lets_others_run(town):
    turns = []

    def script(_):
        gevent.spawn(turns.append, 1)
        while not turns:  # forever, if polling blocked the loop
            with pytest.raises(MailTimeout):
                amoc.receive(timeout=0)
        return "looked"

    town.enter(1, script)
    assert town.result(1) == "looked"


def test_receive_can_be_called_again_after_a_timeout(town):
    def script(_):
        for _ in range(3):
            with pytest.raises(MailTimeout):
                amoc.receive(timeout=0.001)
        amoc.send(3, "ready")
        return amoc.receive(timeout=DEADLINE_S)

    town.settle(3)
    town.enter(1, script)
    until(lambda: town.users[3].mailbox)
    amoc.send(1, "hello")
    assert town.result(1) == "hello"


@pytest.mark.parametrize("timeout", [-1, float("nan"), -inf])
def test_a_timeout_must_not_be_negative(town, timeout):
    def script(_):
        with pytest.raises(ValueError, match="timeout must be at least 0 s"):
            amoc.receive(timeout=timeout)
        return True

    town.enter(1, script)
    assert town.result(1)


def test_a_user_killed_while_it_waits_leaves(town):
    user = town.enter(1, lambda _: amoc.receive())
    gevent.sleep(0)
    user.kill()
    until(lambda: 1 not in town.users)
    assert user.mailbox.waiter is None
    amoc.send(1, "too late")


# While the run is paused


@pytest.fixture
def pause():
    yield pausing
    pausing.resume()


def test_receive_does_not_return_while_the_run_is_paused(town, pause):
    town.enter(1, lambda _: amoc.receive())
    gevent.sleep(0)
    pause.pause()
    amoc.send(1, "hello")
    for _ in range(20):
        gevent.sleep(0)
    assert 1 not in town.results
    pause.resume()
    assert town.result(1) == "hello"


def test_a_message_already_in_the_mailbox_waits_for_the_end_of_the_pause(town, pause):
    pause.pause()
    town.enter(1, lambda _: amoc.receive())
    amoc.send(1, "hello")
    for _ in range(20):
        gevent.sleep(0)
    assert 1 not in town.results
    pause.resume()
    assert town.result(1) == "hello"


@pytest.mark.parametrize("check", [False, True], ids=["unchecked", "checked"])
@pytest.mark.parametrize("to", [2, 3], ids=["another worker", "the same worker"])
def test_a_user_that_keeps_sending_stops_while_the_run_is_paused(town, tally, pause, to, check):
    town.settle(2, 3)

    def script(_):
        while not ended:
            amoc.send(to, None, check)
            gevent.sleep(0.001)

    ended = []
    town.enter(1, script)
    until(lambda: tally().get("received", 0) > 3)
    pause.pause()
    gevent.sleep(0.01)
    before = tally()
    for _ in range(20):
        gevent.sleep(0.001)
    assert tally() == before
    pause.resume()
    until(lambda: tally()["sent"] > before["sent"])
    ended.append(True)
    town.result(1)


def test_a_user_that_never_waits_stops_while_the_run_is_paused(town, pause):
    town.settle(3)

    def script(_):
        while not ended:
            amoc.send(3, None)

    ended = []
    town.enter(1, script)
    until(lambda: town.users[3].mailbox)
    pause.pause()
    until(lambda: town.users[1] in pausing.paused_greenlets)
    pause.resume()
    until(lambda: town.users[1] not in pausing.paused_greenlets)
    ended.append(True)
    town.result(1)


def test_other_greenlets_may_send_while_the_run_is_paused(town, pause):
    town.settle(2, 3)
    pause.pause()
    gevent.spawn(amoc.send, 2, "hello", True).get(timeout=DEADLINE_S)
    get_hub().loop.run_callback(amoc.send, 3, "hello")
    until(lambda: town.users[3].mailbox)
    assert town.box(2) == town.box(3) == ["hello"]


def test_the_timeout_of_receive_does_not_run_while_the_run_is_paused(town, pause, monkeypatch):
    clock = [1_000_000_000]
    monkeypatch.setattr(pausing, "clock", pausing.PauseClock(lambda: clock[0]))
    town.enter(1, lambda _: amoc.receive(timeout=5))
    gevent.sleep(0)
    clock[0] += 3_000_000_000
    pause.pause()
    clock[0] += 100_000_000_000
    town.users[1].mailbox.waiter.wake()  # as its timer does
    gevent.sleep(0.01)
    pause.resume()
    gevent.sleep(0.01)
    assert not town.crashes
    clock[0] += 2_000_000_000
    town.users[1].mailbox.waiter.wake()
    until(lambda: town.crashes)
    assert isinstance(town.crashes[0], MailTimeout)
