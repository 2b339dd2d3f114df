"""What recording a metric costs a worker, in its own shared memory.

Goals: a counter in 0.3 µs, a timer in 1 µs, also among 1,000 metrics; a step takes at most 1 µs
more than a block of a timer.

    python -m benchmarks.metrics [--metrics 1000] [--rounds 9] [--calls 200000]

CPU time of this process, including the loop around each call; the best of several rounds, because
noise can only make a call slower. `spread` is how much longer the median round took: if that
is much, the machine was busy and the figures say nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from time import monotonic_ns, process_time_ns
from typing import NamedTuple

from greenlet import greenlet

from amoc import metrics, step
from amoc.metrics import registry
from amoc.metrics.board import Board
from benchmarks import machine, outcome

SHORT = ["--metrics", "10", "--calls", "5000", "--rounds", "3"]
STEP_US = 1.0
"""Largest acceptable cost of a step beyond a block of a timer."""
NOISY = 0.25
"""If the median round took this much longer than the best one, the figures are doubtful."""


class Case(NamedTuple):
    """An operation to measure."""

    name: str
    wanted_us: float | None
    """None: there is no goal."""
    run: Callable[[int], None]
    """Performs it a number of times."""


def counters(how_many: int) -> Callable[[int], None]:
    handles = [metrics.counter(f"counter_{number}") for number in range(how_many)]

    def run(calls: int) -> None:
        for one in islice(cycle(handles), calls):
            one.inc()

    return run


def timers(how_many: int) -> Callable[[int], None]:
    handles = [metrics.timer(f"timer_{number}") for number in range(how_many)]

    def run(calls: int) -> None:
        for one in islice(cycle(handles), calls):
            one.record(0.0123)

    return run


def by_name(calls: int) -> None:
    for _ in range(calls):
        metrics.counter("counter_0").inc()


def gauge(calls: int) -> None:
    level = metrics.gauge("level")
    for _ in range(calls):
        level.set(12.5)


def timed(calls: int) -> None:
    timer = metrics.timer("timer_0")
    for _ in range(calls):
        with timer.time():
            pass


def stepped(calls: int) -> None:
    for _ in range(calls):
        with step("step"):
            pass


def throttled(calls: int) -> None:
    """A user whose every block has its own slot: service and response time."""
    timer = metrics.timer("timer_0")

    def user() -> None:
        for _ in range(calls):
            metrics.put_token(me, monotonic_ns())
            with timer.time():
                pass

    me = greenlet(user)
    me.switch()


TIMED = Case("with timer.time()", None, timed)
STEPPED = Case("with step(name)", None, stepped)


def cases(how_many: int) -> Iterator[Case]:
    yield Case("counter.inc()", 0.3, counters(1))
    yield Case("timer.record(s)", 1.0, timers(1))
    yield Case(f"counter.inc(), {how_many} of them in rotation", 0.3, counters(how_many))
    yield Case(f"timer.record(s), {how_many} of them in rotation", 1.0, timers(how_many))
    yield Case("metrics.counter(name).inc()", None, by_name)
    yield Case("gauge.set(x)", None, gauge)
    yield TIMED
    yield STEPPED
    # This one is last: after its first slot, each time() looks for a slot.
    yield Case("slot given, with timer.time(), both times", None, throttled)


def measure(case: Case, calls: int, rounds: int) -> tuple[float, float]:
    """Return the best round in µs per call, and by what share the median round was slower."""
    took = []
    for _ in range(rounds):
        begun = process_time_ns()
        case.run(calls)
        took.append((process_time_ns() - begun) / calls / 1e3)
    best = min(took)
    return best, statistics.median(took) / best - 1


def beyond(calls: int, rounds: int) -> float:
    """Return by how many µs a step takes longer than a block of a timer, in the best rounds.

    They take turns, so that both have rounds in which the processor is fast.
    """
    turns = [[measure(one, calls, 1)[0] for one in (TIMED, STEPPED)] for _ in range(rounds)]
    block_us, step_us = map(min, zip(*turns, strict=True))
    return step_us - block_us


def main() -> int:
    """Print all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=200_000)
    options = parser.parse_args()
    print(machine.describe())
    registry.current.attach(Board(1, 1).area(0), inherit=False)
    # First: after the last case, each block looks for a slot.
    more_us = beyond(options.calls // 10, 10 * options.rounds)
    missed, noisy = [], []
    for case in cases(options.metrics):
        best, spread = measure(case, options.calls, options.rounds)
        wanted = "" if case.wanted_us is None else f", goal {case.wanted_us:g} µs"
        print(f"  {case.name:<45} {best:.3f} µs (spread {spread:.0%}){wanted}")
        outcome.figure(case.name, best, "µs")
        if case.wanted_us is not None:
            if spread > NOISY:
                noisy.append(case.name)
            elif best > case.wanted_us:
                missed.append(case.name)
    print(f"  a step takes {more_us:.3f} µs more than a block of a timer, goal {STEP_US:g} µs")
    outcome.figure("a step beyond its timer", more_us, "µs")
    if more_us > STEP_US:
        missed.append(STEPPED.name)
    if noisy:
        outcome.missed(f"the machine was too busy for {', '.join(noisy)}")
    if missed:
        outcome.missed(f"too slow: {', '.join(missed)}")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
