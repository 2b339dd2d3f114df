"""The keyboard on a real pseudo-terminal: keys become commands, and the terminal is restored."""

from __future__ import annotations

import io
import os
import pty
import signal
import termios

import gevent
import pytest
from gevent.event import Event
from rich.console import Console

from amoc.base.errors import SettingError
from amoc.base.text import printable
from amoc.cli.view import keyboard as keyboard_module
from amoc.cli.view.key_bindings import CLOSE, HELP, HINT
from amoc.cli.view.keyboard import Keyboard
from amoc.cli.view.live import LiveView
from amoc.cli.view.plain import PlainView
from amoc.control.answers import Answer, WorkerAnswer
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def _deadline():
    with gevent.Timeout(DEADLINE_S):
        yield


@pytest.fixture
def terminal(monkeypatch):
    """Both ends of a pseudo-terminal whose foreground process is this one."""
    master, slave = pty.openpty()
    monkeypatch.setattr(keyboard_module, "in_foreground", lambda fd: True)
    yield master, slave
    os.close(master)
    os.close(slave)


STATUS = ["status done", "  node0/0: did"]


class Bench:
    """The keyboard's environment: records requests and messages."""

    def __init__(self, fd: int) -> None:
        self.status = Status(state=State.RUNNING)
        self.asked, self.told, self.shown = [], [], []
        self.refusal = None
        self.hold: Event | None = None
        self.keyboard = Keyboard(self.status, self.operate, self.tell, self.shown.append, fd)

    def operate(self, command, source):
        self.asked.append((command.name, command.arguments, source))
        if self.hold is not None:
            self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        return Answer(summary=f"{command.name} done", workers=[WorkerAnswer("node0/0", "did")])

    def tell(self, level, text):
        self.told.append((level, text))


@pytest.fixture
def bench(terminal):
    return Bench(terminal[1])


def until(condition) -> None:
    while not condition():
        gevent.sleep(0.001)


def raw(fd: int) -> bool:
    return not termios.tcgetattr(fd)[3] & (termios.ICANON | termios.ECHO)


def test_a_key_sends_a_command_and_shows_the_answer(terminal, bench):
    master, _ = terminal
    with bench.keyboard:
        until(lambda: bench.keyboard.active)
        os.write(master, b"s")
        until(lambda: bench.shown)
    assert bench.asked == [("status", {}, "terminal")]
    assert bench.shown == [STATUS]
    assert bench.told == []


def test_p_pauses_and_resumes_a_run(terminal, bench):
    with bench.keyboard:
        os.write(terminal[0], b"p")
        until(lambda: bench.asked)
        bench.status.state = State.PAUSED
        os.write(terminal[0], b"p")
        until(lambda: len(bench.asked) == 2)
    assert [one[0] for one in bench.asked] == ["pause", "resume"]


def test_plus_and_minus_add_and_remove_a_tenth_of_the_users(terminal, bench):
    with bench.keyboard:
        os.write(terminal[0], b"+-")
        until(lambda: len(bench.asked) == 2)
    assert [one[:2] for one in bench.asked] == [
        *(("add", {"count": 1}), ("remove", {"count": 1, "force": False}))
    ]


def test_a_rejection_is_shown_line_by_line(terminal, bench):
    bench.refusal = SettingError("rate must be at least 1", "mode must be x")
    with bench.keyboard:
        os.write(terminal[0], b"s")
        until(lambda: len(bench.told) == 2)
    assert bench.told == [("error", "rate must be at least 1"), ("error", "mode must be x")]


def test_an_internal_error_is_shown_and_the_next_key_works(terminal, bench):
    bench.refusal = ZeroDivisionError("a defect")
    with bench.keyboard:
        os.write(terminal[0], b"s")
        until(lambda: bench.told)
        assert "ZeroDivisionError" in bench.told[0][1]
        bench.refusal = None
        os.write(terminal[0], b"s")
        until(lambda: bench.shown)


def test_a_command_in_progress_does_not_block_the_keys(terminal, bench):
    bench.hold = Event()
    with bench.keyboard:
        os.write(terminal[0], b"s" * 9)
        until(lambda: bench.told)
        assert len(bench.asked) == keyboard_module.MAX_UNDER_WAY
        assert bench.told == [("error", "status is ignored: 8 commands are in progress")]
        bench.hold.set()
        until(lambda: len(bench.shown) == 8)


@pytest.mark.parametrize(("key", "shown"), [(b"?", HELP), (b"s", STATUS)])
@pytest.mark.parametrize(("next_key", "asks"), [(b"x", []), (b"\x1b", []), (b"p", ["pause"])])
def test_any_key_closes_the_overlay(terminal, bench, key, shown, next_key, asks):
    with bench.keyboard:
        os.write(terminal[0], key)
        until(lambda: bench.shown)
        bench.asked.clear()
        os.write(terminal[0], next_key)
        until(lambda: len(bench.shown) == 2 and len(bench.asked) == len(asks))
    assert bench.shown == [shown, ()]
    assert [name for name, *_ in bench.asked] == asks


def test_the_same_key_closes_its_overlay_and_another_key_replaces_it(terminal, bench):
    with bench.keyboard:
        for key, count in ((b"?", 1), (b"?", 2), (b"?", 3), (b"s", 5), (b"s", 6)):
            os.write(terminal[0], key)
            until(lambda count=count: len(bench.shown) >= count)
    assert bench.shown == [HELP, (), HELP, (), STATUS, ()]


def test_an_overlay_fits_a_small_window():
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    view = LiveView(console, Status(state=State.RUNNING))
    with view:
        long = [f"  throttle {n}: \x9b2J" for n in range(50)]
        for lines, complete in ((HELP, True), (long, False)):
            view.show(lines)
            shown = window(view)
            assert len(shown) <= 23
            assert shown[-1] == CLOSE
            told = " ".join(" ".join(shown).split())
            for line in lines if complete else lines[:5]:
                assert " ".join(printable(line).split()) in told
            assert ("32 more lines in a larger window" in told) is not complete
            assert not {"\x9b", "\x1b"} & set(told)
        view.show(())
        assert CLOSE not in window(view)


def window(view: LiveView) -> list[str]:
    """The text in the window."""
    file = io.StringIO()
    console = Console(file=file, width=80, height=24)
    console.print(view.drawn())
    return file.getvalue().splitlines()


def test_without_tables_an_overlay_is_printed():
    file = io.StringIO()
    view = PlainView(file, Status(state=State.RUNNING))
    view.show(["one", "two"])
    assert file.getvalue() == "amoc: one\namoc: two\n"


def test_the_terminal_is_restored_at_the_end(terminal, bench):
    slave = terminal[1]
    before = termios.tcgetattr(slave)
    with bench.keyboard:
        until(lambda: raw(slave))
    assert termios.tcgetattr(slave) == before
    assert not bench.keyboard.active


def test_the_terminal_is_restored_on_an_error(terminal, bench):
    slave = terminal[1]
    before = termios.tcgetattr(slave)

    def fail():
        with bench.keyboard:
            until(lambda: raw(slave))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert termios.tcgetattr(slave) == before


def test_the_terminal_is_restored_on_the_second_interrupt(terminal, bench):
    slave = terminal[1]
    before = termios.tcgetattr(slave)
    seen = []

    def ours(*_):
        seen.append(raw(slave))

    handler = signal.signal(signal.SIGINT, ours)
    try:
        with bench.keyboard:
            until(lambda: raw(slave))
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: seen == [True])
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: seen == [True, False])
            until(lambda: not bench.keyboard.reading)
            assert termios.tcgetattr(slave) == before
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: len(seen) == 3)
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, handler)


def test_terminal_settings_reset_by_another_process_are_applied_again(terminal, bench, monkeypatch):
    slave = terminal[1]
    monkeypatch.setattr(keyboard_module, "POLL_S", 0.001)
    before = termios.tcgetattr(slave)
    with bench.keyboard:
        until(lambda: raw(slave))
        termios.tcsetattr(slave, termios.TCSANOW, before)  # as a shell does between Ctrl-Z and fg
        until(lambda: raw(slave))
    assert termios.tcgetattr(slave) == before


def test_in_the_background_the_terminal_is_neither_read_nor_changed(terminal, bench, monkeypatch):
    master, slave = terminal
    foreground = [False]
    monkeypatch.setattr(keyboard_module, "POLL_S", 0.001)
    looks = []

    def look(fd):
        looks.append(fd)
        return foreground[0]

    monkeypatch.setattr(keyboard_module, "in_foreground", look)
    with bench.keyboard:
        os.write(master, b"q\n")
        until(lambda: len(looks) > 5)
        assert not raw(slave)
        assert not bench.keyboard.active
        assert bench.asked == []
        foreground[0] = True
        until(lambda: bench.keyboard.active)
        assert raw(slave)


def test_a_terminal_that_disappears_ends_only_the_keyboard(bench, monkeypatch):
    master, slave = pty.openpty()
    keyboard = Keyboard(bench.status, bench.operate, bench.tell, bench.shown.append, fd=slave)
    with keyboard:
        until(lambda: keyboard.active)
        os.close(master)
        until(lambda: not keyboard.reading or not keyboard.active)
    os.close(slave)


def test_the_key_hint_is_shown_below_the_tables_while_the_keyboard_is_active(terminal, bench):
    file = io.StringIO()
    view = LiveView(Console(file=file, width=80, force_terminal=True), bench.status)
    view.keyboard = bench.keyboard
    with view:
        view.refresh()
        assert HINT not in file.getvalue()
        with bench.keyboard:
            until(lambda: bench.keyboard.active)
            view.refresh()
            assert HINT in file.getvalue()


def test_without_a_terminal_there_is_no_keyboard(bench):
    keyboard = Keyboard(bench.status, bench.operate, bench.tell, bench.shown.append)
    before = signal.getsignal(signal.SIGINT)
    with keyboard:
        assert signal.getsignal(signal.SIGINT) is before
        assert not keyboard.active
