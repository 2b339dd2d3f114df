"""How a run is shown: tables on a capable terminal, lines elsewhere."""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest

from amoc.cli.view.keyboard import Keyboard
from amoc.cli.view.live import LiveView
from amoc.cli.view.plain import PlainView
from amoc.cli.view.shown_run import view_of
from amoc.control.answers import Answer
from amoc.runtime.controller.status import Status


@pytest.fixture
def terminal():
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as stream:
        yield stream
    os.close(master)


@pytest.mark.parametrize(("term", "kind"), [("xterm", LiveView), ("dumb", PlainView)])
def test_a_terminal_gets_tables_unless_it_is_dumb_and_accepts_keys(
    terminal, monkeypatch, term, kind
):
    monkeypatch.setenv("TERM", term)
    view, keys = view_of(terminal, Status(), lambda *_: Answer("done"))
    assert type(view) is kind
    assert isinstance(keys, Keyboard)
    assert getattr(view, "keyboard", keys) is keys


def test_a_file_gets_lines_and_no_keyboard(tmp_path):
    with (tmp_path / "out").open("w") as stream:
        view, keys = view_of(stream, Status(), lambda *_: Answer("done"))
    assert type(view) is PlainView
    assert isinstance(keys, nullcontext)
