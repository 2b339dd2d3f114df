"""What a user pays for a log call, and for events with and without subscribers.

    python -m benchmarks.hooks [--calls 20000] [--rounds 9]

Each figure is the best round's mean. A *counted* log call repeats an earlier line; a *written* one
is new. A slot of a throttle is released by the worker's own code, without a controller; an
addition to a coordinator goes as far as the outbox.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase

from amoc import metrics
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.operator_log import OperatorLog
from amoc.coordinator.plan import parse
from amoc.coordinator.worker import Actions
from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.messages.throttle import ThrottleMode, Tokens
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.runtime import logs
from amoc.scenario import events
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.token_waiter import OnToken
from amoc.throttle.worker_queue import WorkerQueue
from benchmarks import machine, outcome

SHORT = ["--calls", "1000", "--rounds", "2"]
WORDS = ("".join(letters) for letters in product(ascii_lowercase, repeat=5))
"""Numbers would not distinguish kinds of lines."""
NEW_KINDS = 150
"""New kinds of lines per round; all rounds together stay below what a log distinguishes."""


def timed(act: Callable[[int], object], calls: int) -> float:
    """Return nanoseconds per call of `act`."""
    begun_ns = now_ns()
    for number in range(calls):
        act(number)
    return (now_ns() - begun_ns) / calls


def log_calls(calls: int) -> dict[str, float]:
    """Measure log calls."""
    log = logging.getLogger("bench")

    def fail(number: int) -> None:
        try:
            raise ConnectionError(f"user {number} is refused")
        except ConnectionError:
            log.exception("user %d gives up", number)

    return {
        "log call below the level": timed(lambda number: log.debug("no %d", number), calls),
        "log call, counted": timed(lambda number: log.warning("late by %d ms", number), calls),
        "log call with an exception, counted": timed(fail, calls),
        "log call, written": timed(lambda _: log.info(next(WORDS)), NEW_KINDS),
    }


def let_through(calls: int) -> dict[str, float]:
    """Measure requesting a slot of a throttle, and passing it."""
    queue = WorkerQueue("bench", metrics.built_in(metrics.Timer, "token_lateness"), None)
    queue.receive_mode(ThrottleMode("bench", 1, 0, Mode.RUN, False))
    queue.work(now_ns(), now_ns() + S_NS)
    asked = timed(lambda _: queue.enter(OnToken(lambda _: None)), calls)
    queue.receive_tokens(Tokens("bench", 1, 1, 0, 1, calls, now_ns() - 10 * MS_NS, 1.0))
    begun_ns = now_ns()
    passed = queue.work(begun_ns, begun_ns + 100 * S_NS)
    assert passed == calls
    return {"throttle, request": asked, "throttle, execute": (now_ns() - begun_ns) / calls}


def add(calls: int) -> dict[str, float]:
    """Measure adding to a coordinator."""
    gone: list[Envelope] = []
    actions = Actions(WorkerId("bench", 0, 1), Outbox(lambda _, envelope: gone.append(envelope)))
    actions.learn("bench", 1, parse("bench", [(2, lambda _: None)]))
    return {"coordinator, add": timed(lambda number: actions.add("bench", number + 1, None), calls)}


def best(rounds: int, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    results = [measure() for _ in range(rounds)]
    return {name: min(one[name] for one in results) for name in results[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as directory:
        logs.begin("bench", "info", worker=0, incarnation=1)
        logs.open_directory(directory)
        logs.attach(OperatorLog(), lambda: 1)
        figures = best(given.rounds, lambda: log_calls(given.calls))
        logs.end()
        size = (Path(directory) / "bench.jsonl").stat().st_size
    for name, ns in figures.items():
        print(f"{name:42} {ns / 1000:8.2f} µs")
        outcome.figure(name, ns / 1000, "µs")
    print(f"the log of {given.rounds * given.calls * 3:,} calls has {size:,} bytes")
    hooks = [lambda: let_through(given.calls), lambda: add(given.calls)]
    quiet = {name: ns for one in hooks for name, ns in best(given.rounds, one).items()}
    heard = count()
    events.on("*")(lambda _: next(heard))
    loud = {name: ns for one in hooks for name, ns in best(given.rounds, one).items()}
    assert next(heard) >= 3 * given.rounds * given.calls
    for name, ns in quiet.items():
        print(f"{name:42} {ns:8.0f} ns, with one subscriber {loud[name]:8.0f} ns")
        outcome.figure(name, ns, "ns")
        outcome.figure(f"{name}, heard by one", loud[name], "ns")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
