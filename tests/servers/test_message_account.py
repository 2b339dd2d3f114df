"""A proxy tampers with messages in both directions: the run's account matches the proxy's log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amoc.results.series import Tally
from tests.process.support import Run, eventually, lines, running
from tests.servers.daemon import XmppServer, dies_with_us, free_port
from tests.servers.embedded import Embedded

PROXY = Path(__file__).parent / "message_proxy.py"
HOLD_S = 9.0
LATE_AFTER_S = 8.0  # far more than servers need on a busy machine
DEADLINE_S = 90.0
Scenario = Callable[..., Path]


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """Write a scenario file; in its text, HERE stands for the test's directory."""

    def write(text: str) -> Path:
        file = tmp_path / "trial.py"
        file.write_text(text.replace("HERE", repr(str(tmp_path))))
        return file

    return write


class Proxy:
    """A running proxy, and its log."""

    def __init__(self, server: XmppServer) -> None:
        self.address = f"127.0.0.1:{(port := free_port())}"
        self._process = subprocess.Popen(
            [*dies_with_us(), sys.executable, str(PROXY), str(port), str(server.port), str(HOLD_S)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def did(self) -> list[tuple[str, str, str, int, int]]:
        """End the proxy; return direction, action, pair, number and connection of each message."""
        self._process.send_signal(signal.SIGTERM)
        told, _ = self._process.communicate(timeout=DEADLINE_S)
        return [tuple(one) for one in json.loads(told)]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def proxy(server: XmppServer) -> Iterator[Proxy]:
    one = Proxy(server)
    try:
        yield one
    finally:
        one.end()


def actions(did: list[tuple[str, str, str, int, int]], kind: str) -> Counter[str]:
    """Count each action on messages to users (``u``) or rooms (``r``)."""
    return Counter(
        f"{direction} {action}"
        for direction, action, pair, *_ in did
        if pair.split(".")[4].startswith(kind)
    )


def start(scenario: Path, through: Proxy, ids: str, directory: Path, *arguments: str) -> Any:
    given = {"xmpp_servers": through.address, "xmpp_tls": "off", "repeat_num": "1"}
    given |= {"user_rate": "infinity", "xmpp_late_after": f"{LATE_AFTER_S}"}
    settings = [text for name, value in given.items() for text in ("--set", f"{name}={value}")]
    return running(
        scenario,
        *("--user-ids", ids, "--workers", "2", "--limited-ok", *arguments, *settings),
        directory=directory,
    )


def said(run: Run) -> dict[str, int]:
    """Return the run's account of messages, without the common prefix of its names."""
    counters = run.summary()["counters"]
    return {
        name.removeprefix("messages_"): count
        for name, count in counters.items()
        if name.startswith("messages_")
    }


def assert_adds_up(one: dict[str, int]) -> None:
    known = one["delivered"] + one["refused"] + one["lost"] + one["unaccounted"]
    assert one["expected"] == known, one


CHAT = """
from pathlib import Path
from amoc import coordinator, xmpp
FIRST, USERS, ROOM = {first}, {users}, "account@conference.localhost"
def start(i):
    with xmpp.connect(i) as c:
        c.send_presence()
        room = c.join(ROOM, nick=str(i)) if i == FIRST else None  # who makes it is in first
        coordinator.barrier("made", USERS, timeout=60)
        with room or c.join(ROOM, nick=str(i)):
            coordinator.barrier("in", USERS, timeout=60)
            for n in range(40):
                c.send_chat(FIRST + ((i - FIRST) ^ 1), "to one")
                c.send_message(ROOM, "to all", "groupchat")
                c.ping()  # as fast as the server is: a backlog would make messages late
                c.wait(0.1)
            while not Path(HERE, "end").exists():
                c.wait(0.05)
            coordinator.barrier("heard", USERS, timeout=60)
"""


def test_the_account_of_users_and_rooms_on_two_workers_matches_the_proxy(
    services: XmppServer, scenario: Scenario, tmp_path: Path
) -> None:
    users, first = 6, 241
    text = CHAT.format(first=first, users=users)
    with proxy(services) as through:
        with start(scenario(text), through, f"{first}-{first + users - 1}", tmp_path) as run:
            _settle(run, (users + users * users) * (40 - 4))
            (tmp_path / "end").touch()
            assert run.end(DEADLINE_S) == 0, run.output
        did = through.did()
    one, to_user, to_room = said(run), actions(did, "u"), actions(did, "r")
    assert to_user["up drop"] == to_user["down drop"] > 0
    assert to_room["up drop"] * users == to_room["down drop"] > 0
    assert to_user["up hold"] == to_user["down hold"] > 0
    assert to_room["up hold"] * users == to_room["down hold"] > 0
    # An action on the way to the server affects each member of the room.
    both = {
        action: to_user[f"up {action}"]
        + to_user[f"down {action}"]
        + to_room[f"up {action}"] * users
        + to_room[f"down {action}"]
        for action in ("drop", "double", "swap", "hold")
    }
    assert one["sent"] == users * 80
    assert one["expected"] == users * 40 + users * users * 40
    assert one["lost"] == both["drop"]
    assert one["duplicated"] == both["double"]
    assert one["reordered"] == both["swap"] + both["hold"]
    assert one["late"] == both["hold"]
    assert one["unaccounted"] == one["foreign"] == one["refused"] == 0
    assert one["received"] >= one["delivered"] + one["duplicated"]  # and the room's messages
    assert_adds_up(one)
    lost, expected = f"{one['lost']:,}", f"{one['expected']:,}"
    assert f"{lost} of {expected} messages were lost" in run.summary()["run"]["notes"]


RECONNECT = """
from pathlib import Path
from amoc import coordinator, xmpp
FIRST, USERS = {first}, {users}
def start(i):
    for count in (26, 20, 10):
        with xmpp.connect(i) as c:
            c.send_presence()
            coordinator.barrier("here", USERS, timeout=60)
            for n in range(count):
                c.send_chat(FIRST + ((i - FIRST) ^ 1), "x")
                c.wait(0.02)
            while not Path(HERE, f"end-{{count}}").exists():
                c.wait(0.05)
            coordinator.barrier("heard", USERS, timeout=60)
"""


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("embedded")) as server:
        yield server


def test_no_message_is_counted_twice_or_missed_when_all_users_on_two_nodes_reconnect(
    embedded: Embedded, scenario: Scenario, tmp_path: Path
) -> None:
    users, first = 4, 1
    text = RECONNECT.format(first=first, users=users)
    ids, two_nodes = f"{first}-{first + users - 1}", ("--cluster", "local:2")
    with proxy(embedded) as through:
        with start(scenario(text), through, ids, tmp_path, *two_nodes) as run:
            delivered = 0
            for count in (26, 20, 10):
                delivered += users * (count - 2)
                _settle(run, delivered)
                (tmp_path / f"end-{count}").touch()
            assert run.end(DEADLINE_S) == 0, run.output
        found = actions(through.did(), "u")
    one = said(run)
    assert one["expected"] == one["sent"] == users * 56
    assert one["lost"] == found["up drop"] + found["down drop"] > 0
    assert one["duplicated"] == found["up double"] + found["down double"] > 0
    held = found["up hold"] + found["down hold"]
    assert found["up hold"] > 0 < found["down hold"]
    assert one["reordered"] == found["up swap"] + found["down swap"] + held
    assert one["late"] == held
    assert one["unaccounted"] == 0
    assert_adds_up(one)


KILLED = """
import os
from pathlib import Path
from amoc import sleep, xmpp
FIRST, DIRECTORY = {first}, Path(HERE)
def say(i, c, phase, count):
    done = DIRECTORY / f"{{phase}}-{{i}}"
    while not (DIRECTORY / phase).exists():
        c.wait(0.05)
    if not done.exists():
        for n in range(count):
            c.send_chat(FIRST + ((i - FIRST) ^ 1), "x")
            c.wait(0.02)
        done.touch()
        with open(DIRECTORY / "done", "a") as file: file.write(f"{{phase}} {{i}}\\n")
def start(i):
    with xmpp.connect(i) as c:
        c.send_presence()
        with open(DIRECTORY / "here", "a") as file: file.write(f"{{i}} {{os.getpid()}}\\n")
        say(i, c, "one", 28)
        say(i, c, "two", 20)
        while not (DIRECTORY / "end").exists():
            c.wait(0.05)
"""


def test_only_messages_of_a_killed_worker_are_unaccounted_for(
    embedded: Embedded, scenario: Scenario, tmp_path: Path
) -> None:
    users, first = 4, 101
    text = KILLED.format(first=first)
    with proxy(embedded) as through:
        with start(scenario(text), through, f"{first}-{first + users - 1}", tmp_path) as run:
            eventually(lambda: len(lines(tmp_path / "here")) == users, "all users are there")
            (tmp_path / "one").touch()
            eventually(lambda: len(lines(tmp_path / "done")) == users, "all have spoken")
            _settle(run, users * (28 - 3))
            (_, killed) = run.wait_for("worker", 2)
            mine = {
                int(line.split()[0])
                for line in lines(tmp_path / "here")
                if int(line.split()[1]) == killed
            }
            os.kill(killed, signal.SIGKILL)
            eventually(
                lambda: len(lines(tmp_path / "here")) == users + len(mine), "they are there again"
            )
            (tmp_path / "two").touch()
            eventually(lambda: len(lines(tmp_path / "done")) == 2 * users, "all have spoken again")
            # Users that were not restarted continue with number 29, the others start at 1.
            _settle(run, users * (28 - 3) + 2 * (20 - 1) + 2 * (20 - 2))
            (tmp_path / "end").touch()
            assert run.end(DEADLINE_S) == 0, run.output
        found = actions(through.did(), "u")
    one = said(run)
    dropped = found["up drop"] + found["down drop"]
    assert len(mine) == users // 2
    assert one["expected"] == one["sent"] == users * 48
    # Those dropped on the way to its users and on the way from them.
    assert one["unaccounted"] == 2 * len(mine) * 3
    assert one["lost"] == dropped - one["unaccounted"]
    assert one["duplicated"] == found["up double"] + found["down double"]
    held = found["up hold"] + found["down hold"]
    assert one["reordered"] == found["up swap"] + found["down swap"] + held
    assert_adds_up(one)
    notes = run.summary()["run"]["notes"]
    assert any("a worker was lost along with its records" in note for note in notes)


def _settle(run: Run, delivered: int) -> None:
    """Wait until `delivered` messages are in the series: no more can arrive."""

    def there() -> bool:
        counted = Tally.of(run.seconds()).counters
        return counted.get("messages_delivered", 0) == delivered

    eventually(there, f"{delivered} messages are delivered", DEADLINE_S)
