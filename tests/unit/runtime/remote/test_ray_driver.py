"""How Ray's driver reports keepers that have ended, and its behaviour without Ray."""

from __future__ import annotations

import subprocess
import sys

import pytest

from amoc.runtime.remote.ray.actor import NOT_FOUND
from amoc.runtime.remote.ray.driver import MAX_TEXT, how_it_went, one_line


@pytest.mark.parametrize(
    ("status", "last", "text"),
    [
        (
            1,
            "py: No module named amoc",
            "amoc cannot be started on h2 (py: No module named amoc); install amoc 0.1 there",
        ),
        (
            1,
            "ModuleNotFoundError: No module named 'gevent'",
            "amoc cannot be started on h2 (py: No module named 'gevent'); install amoc 0.1 there",
        ),
        (
            NOT_FOUND,
            "py: No such file or directory",
            "amoc cannot be started on h2 (py: No such file or directory); install amoc 0.1 there",
        ),
        (8, "amoc: turned away", "amoc node on h2 exited with 8: turned away"),
        (-9, "", "amoc node on h2 was killed by SIGKILL"),
    ],
)
def test_the_end_of_a_keeper_is_reported_in_one_line(status, last, text):
    said = ["what came before", last] if last else []
    assert how_it_went("h2", status, "py", said, "0.1") == text


def test_multi_line_errors_become_one_short_line():
    assert one_line("Version mismatch:\n    Ray: 2.60.0\n") == "Version mismatch: Ray: 2.60.0"
    assert len(one_line("word " * 1000)) == MAX_TEXT + 1


def test_the_driver_has_no_event_loop_of_ours():
    code = "import sys, amoc.runtime.remote.ray.driver; print('gevent' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
