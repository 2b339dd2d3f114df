"""Keyboard control of a run: reads keys from the terminal and executes their commands.

The terminal delivers keys one by one and without echo (cbreak mode). It is restored in all cases:
at the end, after errors, at the second Ctrl-C, and while the process is stopped by Ctrl-Z. Keys are
read only if standard input and output are terminals, and only in the foreground, since the kernel
stops a background process that reads. The foreground state is polled, so that ``fg`` needs no
signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Self

import gevent
from gevent import socket as gsocket
from gevent.pool import Pool

from amoc.base.errors import AmocError
from amoc.cli.view.key_bindings import HELP, Action, actions, tenth
from amoc.control.answer_text import lines_of
from amoc.control.answers import Answer
from amoc.control.commands import Command, checked, is_read
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status

POLL_S = 0.5
"""Interval of the checks whether this process is in the foreground."""
MAX_UNDER_WAY = 8
SHOW_CURSOR = b"\x1b[?25h"
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Keyboard:
    """Reads keys from the terminal while it is entered.

    Attributes:
        active: Whether keys are being read.
    """

    def __init__(
        self,
        status: Status,
        operate: Callable[[Command, str], Answer],
        tell: Callable[[str, str], None],
        show: Callable[[Sequence[str]], None],
        fd: int | None = None,
    ) -> None:
        """Read keys from standard input, or from the terminal `fd`.

        Args:
            status: Status of the run.
            operate: Executes a command, given its source.
            tell: Shows a line of a level above the tables.
            show: Shows lines instead of the tables; no lines restore the tables.
            fd: A terminal, for tests.
        """
        self.active = False
        self._status = status
        self._operate = operate
        self._tell = tell
        self._show = show
        self._shown: Action | None = None
        self._fd = fd if fd is not None else _terminal()
        self._before: list[int | list[bytes | int]] | None = None
        self._task: gevent.Greenlet[[], None] | None = None
        self._commands = Pool(MAX_UNDER_WAY)
        self._handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._interrupts = 0
        self._ending = False

    def __enter__(self) -> Self:
        if self._fd is not None:
            self._catch_signals()
            self._task = gevent.spawn(self._read)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._task is not None:
            self._task.kill()
        self._commands.kill()
        self.restore()
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers.clear()
        if signal.getsignal(signal.SIGTSTP) == self._on_stop:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    @property
    def reading(self) -> bool:
        """Whether keys are being read, or may be once this process is in the foreground."""
        return self._task is not None and not self._task.dead

    def restore(self) -> None:
        """Restore the terminal. May be called at any time."""
        before, self._before = self._before, None
        self.active = False
        if before is None or self._fd is None or not in_foreground(self._fd):
            return  # in the background the terminal belongs to another process
        with _unstopped(), contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(self._fd, termios.TCSANOW, before)
            if select.select([], [self._fd], [], 0)[1]:
                os.write(self._fd, SHOW_CURSOR)  # the tables hide it

    # The terminal

    def _take_terminal(self) -> bool:
        """Set up the terminal for keys. Return whether they can be read now."""
        assert self._fd is not None
        if not in_foreground(self._fd):
            return False
        try:
            now = termios.tcgetattr(self._fd)
            if now[3] & (termios.ICANON | termios.ECHO):  # the mode of a shell, or of our own start
                if self._before is None:
                    self._before = [*now[:6], list(now[6])]
                now[3] &= ~(termios.ICANON | termios.ECHO)
                now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
                with _unstopped():
                    termios.tcsetattr(self._fd, termios.TCSANOW, now)
        except termios.error:
            return False
        return True

    def _catch_signals(self) -> None:
        """Restore the terminal if a signal is about to stop or end this process."""
        for signum in _INTERRUPTS:
            handler = signal.getsignal(signum)
            if callable(handler):
                self._handlers[signum] = handler
                signal.signal(signum, self._on_interrupt)
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._on_stop)

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            self._ending = True  # so that the next check does not set up the terminal again
            self.restore()
        self._handlers[signum](signum, frame)

    def _on_stop(self, signum: int, _frame: FrameType | None) -> None:
        self.restore()
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)  # stops here until continued
        signal.signal(signum, self._on_stop)

    # Keys

    def _read(self) -> None:
        assert self._fd is not None
        while not self._ending:
            self.active = self._take_terminal()
            if not self.active:
                gevent.sleep(POLL_S)
                continue
            try:
                gsocket.wait_read(self._fd, timeout=POLL_S)
            except gsocket.timeout:
                continue
            except OSError:
                break
            if not in_foreground(self._fd):
                continue
            try:
                data = os.read(self._fd, 4096)
            except OSError:
                data = b""
            if not data:
                break
            shown = self._close()
            for action in actions(data):
                if action is not shown:
                    self._act(action)
        self.active = False  # the terminal has been closed, or the run is about to end

    def _close(self) -> Action | None:
        """Show the tables again, instead of other lines."""
        shown, self._shown = self._shown, None
        if shown is not None:
            self._show(())
        return shown

    def _act(self, action: Action) -> None:
        match action:
            case Action.HELP:
                self._open(action, HELP)
            case Action.PAUSE_OR_RESUME:
                self._give("resume" if self._status.state is State.PAUSED else "pause")
            case Action.ADD | Action.REMOVE:
                self._give(action.value, count=tenth(self._status.users["running"]))
            case _:
                self._give(action.value)

    def _open(self, action: Action, lines: Sequence[str]) -> None:
        self._shown = action
        self._show(lines)

    def _give(self, name: str, **arguments: object) -> None:
        if self._commands.free_count() <= 0:
            self._tell("error", f"{name} is ignored: {MAX_UNDER_WAY} commands are in progress")
            return
        self._commands.spawn(self._carry_out, checked(name, arguments))

    def _carry_out(self, command: Command) -> None:
        try:
            answer = self._operate(command, "terminal")
        except AmocError as error:
            for line in str(error).splitlines():
                self._tell("error", line)
        except Exception:  # an error in amoc must not end keyboard control
            self._tell("error", f"{command.name}: {traceback.format_exc()}")
        else:
            if is_read(command.name):
                self._open(Action(command.name), lines_of(answer.to_json()))
            else:  # the journal has the answers of all workers
                self._tell("info", answer.summary)


def _terminal() -> int | None:
    """Return standard input if it and standard output are terminals."""
    try:
        both = sys.stdin.isatty() and sys.stdout.isatty()
        return sys.stdin.fileno() if both else None
    except (ValueError, OSError):
        return None


def in_foreground(fd: int) -> bool:
    """Return whether this process may read and set the terminal `fd` now."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


@contextlib.contextmanager
def _unstopped() -> Iterator[None]:
    """Set the terminal, without being stopped if this process is in the background by now."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
