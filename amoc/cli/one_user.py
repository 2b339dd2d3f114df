"""``amoc check --run``: runs one iteration of one user in this process."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator

import gevent
from rich.console import Console
from rich.text import Text

from amoc import metrics
from amoc.base.clock import format_duration
from amoc.base.errors import ScenarioError
from amoc.base.loop_guard import guard_loop
from amoc.base.text import counted, printable
from amoc.base.tracebacks import headline_of, trace_of
from amoc.cli.checked_scenario import Checked
from amoc.cli.view.console import console as make_console
from amoc.ipc import rpc
from amoc.metrics.board import UserState
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.runtime.embedded_xmpp import EmbeddedXmpp
from amoc.runtime.forked_child import take_amoc_from_children
from amoc.runtime.in_process import joined
from amoc.scenario import fd_budget
from amoc.throttle import worker as gates
from amoc.users.run import STOP
from amoc.users.spawned import end_spawned, note_spawned
from amoc.users.user import StopReason, User

FINISH_S = 10.0
"""How long the user may take to finish after it is asked to stop."""


class _Alone:
    """The pool of a single user."""

    def __init__(self, start: Callable[[int], object], seed: int) -> None:
        self.states: dict[int, int] = {}
        self.seed = seed
        self.repeat_num = 1.0
        self.repeat_interval_s = 0.0
        self.crash_pause_s = 0.1
        self.wait_turn = None
        self.run_once = start
        self.error: BaseException | None = None
        self.gone = gevent.event.Event()
        self.enough = gevent.event.Event()

    def crashed(self, user: User, error: BaseException) -> None:  # noqa: ARG002 - as pools have it
        """Keep the error of start()."""
        self.error = error

    def failed(self, error: BaseException) -> None:
        """Keep the error of a greenlet that the user spawned, unless start() raises as well."""
        traceback.print_exception(error)
        self.error = self.error or error

    def iteration_ended(self, user: User) -> None:
        """Release the permits of throttles that the user still holds."""
        metrics.drop_token(user)
        gates.current().iteration_ended(user)

    def left(self, user: User) -> None:
        """Note that the user has ended."""
        end_spawned(user)
        self.gone.set()

    def turn_away(self, user_id: int) -> None:
        """Note that the user was killed before it started."""
        self.states[user_id] = UserState.NONE


def run_one(checked: Checked, user_id: int, seed: int, seconds: float) -> None:
    """Run one iteration of a user in this process, and print the stanzas sent and received.

    Raises:
        AmocError: init() failed, or the user crashed.
    """
    console = make_console(patient=False)
    console.soft_wrap = True
    with _embedded(checked, console) as server, _trace(console):
        with rpc.recording() as recorder:
            state = checked.scenario.init()
        alone = _Alone(checked.scenario.start_with(state), seed)
        user = User(user_id, alone)
        take_amoc_from_children()
        note_spawned()
        guard_loop(lambda _, error: alone.failed(error))

        def find(wanted: int) -> User | None:
            return user if wanted == user_id and not user.dead else None

        def stop_run(_: object, reason: str) -> None:
            console.print(Text(f"the scenario ends the run: {reason}", style="yellow"))
            alone.enough.set()

        operations = {**server.operations, STOP: stop_run}
        with joined(seed, recorder.calls, find, alone.failed, operations):
            console.print(
                Text(
                    f"\nuser {user_id} starts, for at most {format_duration(seconds)} (--for);"
                    " Ctrl-C stops it gracefully"
                )
            )
            gevent.get_hub().loop.run_callback(user.switch)
            _let_it_run(user, alone, console, seconds)
        checked.scenario.terminate(state)
    _print_metrics(console)
    if alone.error is not None:
        console.print(Text(printable(trace_of(alone.error), keep="\n"), style="dim"))
        directory = checked.scenario.directory
        raise ScenarioError(f"user {user_id} crashed: {headline_of(alone.error, directory)}")
    console.print(
        Text(f"user {user_id}: {UserState(alone.states[user_id]).name.lower()}", style="bold")
    )


def _let_it_run(user: User, alone: _Alone, console: Console, seconds: float) -> None:
    interrupt = gevent.signal_handler(signal.SIGINT, alone.enough.set)
    gevent.wait([alone.gone, alone.enough], timeout=seconds, count=1)
    interrupt.cancel()
    if alone.gone.is_set():
        return
    console.print(Text("asked to stop", style="yellow"))
    user.ask_to_stop(StopReason.RUN_ENDS)
    if not alone.gone.wait(FINISH_S):
        user.kill()
        alone.gone.wait(FINISH_S)


@contextlib.contextmanager
def _embedded(checked: Checked, console: Console) -> Iterator[EmbeddedXmpp]:
    """Yield the embedded XMPP server, which starts when the user connects to it."""
    server = EmbeddedXmpp(
        {name: str(resolved.value) for name, resolved in checked.values.items()},
        fd_budget.fds_per_user(),
        lambda line: console.print(Text(line, style="dim")),
        lambda _, text: console.print(Text(f"\n{text}", style="cyan")),
    )
    try:
        yield server
    finally:
        server.end()


@contextlib.contextmanager
def _trace(console: Console) -> Iterator[None]:
    """Print sent and received stanzas, if the scenario uses XMPP."""
    import sys

    xmpp = sys.modules.get("amoc.xmpp")
    if xmpp is None:
        yield
        return

    def print_it(direction: str, _who: object, what: object) -> None:
        text = what.decode(errors="replace") if isinstance(what, bytes) else str(what)
        arrow, style = (">>>", "green") if direction == "sent" else ("<<<", "magenta")
        console.print(Text.assemble((f"{arrow} ", style), printable(text, keep="\n")))

    xmpp.trace(print_it)
    try:
        yield
    finally:
        xmpp.trace(None)


def _print_metrics(console: Console) -> None:
    for metric in metrics.read():
        name, value, shown = metric.name, metric.value, ""
        if isinstance(value, Histogram):
            if value.count:
                shown = f"{counted(value.count, 'sample')}, mean {format_duration(value.mean_s)}"
        elif isinstance(value, ThrottleCounts):
            name, counts = f"throttle {name}", value._asdict().items()
            shown = ", ".join(f"{what} {count:,}" for what, count in counts if count)
        elif value:
            shown = f"{value:g}"
        if shown:
            console.print(Text(f"{name}: {shown}", style="dim"))
