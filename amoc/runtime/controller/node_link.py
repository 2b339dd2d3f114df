"""What the controller hears from its node, and how it waits for it.

Reports come in all the time and wake what waits. A wait ends when its condition holds, or with
an error: the node has died, has said that it cannot go on, has been silent for too long, or has not
done in time what it was to do.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

import gevent

from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, ExitCode, InitError, PeerError
from amoc.base.waiting import Notify
from amoc.ipc import bus
from amoc.ipc.messages.lifecycle import Failed, Hello, Note, Terminated
from amoc.ipc.messages.links import FromNode, ToNode
from amoc.runtime.launcher import LaunchedNode, node_name

SILENT_S = 15.0
"""A node that reports nothing for so long counts as lost: it samples every second."""
SLEPT_S = 2.0
"""After so long that the controller has not run, stopped by Ctrl-Z say, the operator is told."""
LEAVE_S = 5.0
LOOK_S = 0.1
LAST_WORDS_S = 0.2
"""How long the last report of a node that has died may still be on the way."""


M = TypeVar("M")


class NodeLink:
    """The controller's line to its node.

    Attributes:
        seen: The latest report of each kind.
        failure: What ends the run, when something has.
        changed: Rings when something was heard.
    """

    def __init__(
        self,
        parent: bus.Parent[ToNode, FromNode],
        node: LaunchedNode,
        take: Callable[[str, FromNode], None],
        check: Callable[[], None],
    ) -> None:
        """Talk through `parent`.

        Args:
            parent: Bound already; it expects the node.
            node: The node, which is watched.
            take: Gets each report with the name of the node that it came from.
            check: Raises what else ends a wait.
        """
        self.seen: dict[type, FromNode] = {}
        self.failure: AmocError | None = None
        self.changed = Notify()
        self._bus = parent
        self._take = take
        self._check = check
        self._node = node
        self._name = node_name(node.number)
        self._heard_ns = self._listened_ns = now_ns()

    def listen(self) -> None:
        """Take reports until this greenlet is killed."""
        for envelope in self._bus.reports():
            now = now_ns()
            asleep_ns = now - self._listened_ns
            if asleep_ns > SLEPT_S * S_NS:
                # We slept (a stopped job, a slow terminal), not the node.
                self._heard_ns += asleep_ns
                text = f"amoc itself was suspended for {format_duration(asleep_ns / S_NS)}"
                self._take(self._name, Note("warning", f"{text}: no throttle executed"))
            self._listened_ns = now
            if envelope is not None:
                self._heard_ns = now
                try:
                    self._hear(envelope.child, envelope.record)
                except Exception as error:  # one report must not deafen us to all that follow
                    self._fail(error)

    def _hear(self, node: str, record: FromNode) -> None:
        self.seen[type(record)] = record
        if isinstance(record, Failed):
            self.failure = failed(ExitCode(record.exit_code), record.message)
        self._take(node, record)
        self.changed.ring()

    def guarded(self, task: Callable[[], object]) -> None:
        """Run `task`; a defect in it ends the run, not only this greenlet."""
        try:
            task()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failure = error if isinstance(error, AmocError) else AmocError(traceback.format_exc())
        self.changed.ring()

    def send(self, command: ToNode) -> None:
        """Send `command` to the node."""
        self._bus.send(self._name, command)

    def wait_for(
        self,
        kind: type[M],
        deadline_s: float,
        what: str,
        rule: str,
        option: str = "",
        code: ExitCode = ExitCode.NODE_LOST,
    ) -> M:
        """Wait for a report of that kind, as `until` does; the latest.

        Raises:
            AmocError: The run cannot go on.
        """
        self.until(lambda: kind in self.seen, deadline_s, what, rule, option, code)
        report = self.seen[kind]
        assert isinstance(report, kind)
        return report

    def until(
        self,
        condition: Callable[[], bool],
        deadline_s: float,
        what: str,
        rule: str,
        option: str = "",
        code: ExitCode = ExitCode.NODE_LOST,
    ) -> None:
        """Wait for `condition`; if it is not met in time, `what` did not do `rule`.

        Raises:
            AmocError: The run cannot go on.
        """
        give_up = now_ns() + int(deadline_s * S_NS)
        while not condition():
            self.check()
            if now_ns() > give_up:
                option = f" {option}" if option else ""
                text = f"{what} did not {rule} within {deadline_s:g} s{option}"
                if code is ExitCode.INIT_TIMEOUT:
                    error: AmocError = InitError(text)
                    error.exit_code = code
                    raise error
                raise PeerError(text)
            self.changed.wait(LOOK_S)

    def check(self) -> None:
        """Raise what ends the run before its time."""
        if self.failure is not None:
            raise self.failure
        self._check()
        how = self._node.ended()
        if how is not None:
            gevent.sleep(LAST_WORDS_S)
            if Terminated in self.seen:
                return
            raise self.failure or PeerError(f"{self._name} {how}")
        if Hello in self.seen and self._listened_ns - self._heard_ns > SILENT_S * S_NS:
            raise PeerError(f"{self._name} has not reported for {SILENT_S:g} s")

    def is_running(self) -> bool:
        """Whether the node's process is there."""
        return self._node.ended() is None

    def end(self, at_once: bool) -> None:
        """End the node's process and all below it, if it is still there."""
        if at_once and Terminated not in self.seen:
            self._node.kill()  # the kernel ends all below it
        self._node.end(LEAVE_S)


def failed(code: ExitCode, message: str) -> AmocError:
    """An error with the exit code `code`."""
    error = AmocError(message)
    error.exit_code = code
    return error
