"""A run of a parent process is stopped once, although the kernel sends a signal per thread."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import pytest

from amoc.cli import child_main


@pytest.mark.parametrize("line", range(3))
def test_a_second_stop_signal_during_shutdown_is_ignored(
    monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: sent.append(arguments))
    stop = child_main.stop_once()
    lines = 0

    def trace(_: FrameType, event: str, __: object) -> object:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == line + 1:
                sys.settrace(None)
                stop()  # as the interpreter calls a handler: between two instructions
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        stop()
    finally:
        sys.settrace(before)
    stop()
    assert lines > line
    assert sent == [(os.getpid(), signal.SIGTERM)]
