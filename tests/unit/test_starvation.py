"""A cell whose processes were starved of CPU time is distinguished from one that failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from amoc.base.clock import S_NS
from tests.cluster.kill_matrix import AGAIN, Result, of_round
from tests.cluster.starvation import LEFT_S, Starvation, Waits, Watch

pytestmark = pytest.mark.once
CALM, BUSY = Starvation(LEFT_S - 0.1, 1.0, 0.9), Starvation(LEFT_S, 1.0, 0.9)
FINE, FAILED, STARVED = Result([], BUSY), Result(["one is left"], CALM), Result(["late"], BUSY)


def test_the_wait_of_two_processes_within_the_window_is_found():
    waits = Waits()
    for at_s, waited_s in enumerate([(5, 9), (6, 9), (6.5, 9.5), (6.5, 9.5), (6.5, 9.5), (7, 9.5)]):
        waits.take(at_s, {pid: int(one * S_NS) for pid, one in enumerate(waited_s)})
    assert (waits.window_s, waits.total_s) == (2.0, 2.0)
    waits.take(10, {0: 0, 1: int(9.5 * S_NS), 2: 90 * S_NS})  # other processes have begun
    assert (waits.window_s, waits.total_s) == (2.0, 2.0)


def test_a_process_sharing_a_core_is_seen_to_wait():
    with ExitStack() as stack:
        core = min(os.sched_getaffinity(0))
        spin = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
        spinning = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", spin])) for _ in range(3)
        ]
        for one in spinning:
            stack.callback(one.kill)
        with Watch(lambda: [one.pid for one in spinning]) as watch:
            give_up = time.monotonic() + 30
            while watch.found.window_s < 0.5:
                assert time.monotonic() < give_up, watch.found
                time.sleep(0.05)
    assert watch.found.window_s >= watch.found.total_s >= 0.25


@pytest.mark.parametrize(
    ("results", "kinds"),
    [
        ([FINE], ["ok"]),
        ([FAILED], ["failed"]),
        ([STARVED, FINE], ["starved", "ok"]),
        ([STARVED, FAILED], ["starved", "failed"]),
        ([STARVED] * (1 + AGAIN), ["starved"] * (1 + AGAIN)),
    ],
)
def test_a_starved_cell_is_run_again_at_most_twice(results, kinds):
    left: Iterator[Result] = iter(results)
    found = list(of_round(["host/cut"], 1, lambda _: next(left)))
    assert [result.kind for _, result in found] == kinds
    assert list(left) == []
