"""Node reports received by the controller, and the waits that depend on them.

Reports arrive at any time and wake the waiters. A wait ends when its condition holds for all
present nodes, or with an error: a node has died, has reported that it cannot go on, has been silent
for too long, or has missed a deadline. If the run may go on without the node, it is given up
instead: its processes are ended, and nothing is received from it any more.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import gevent

from amoc.base.clock import MS_NS, S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, ExitCode, PeerError
from amoc.base.loop_yield import yield_to_loop
from amoc.base.text import counted, printable
from amoc.base.waiting import Notify
from amoc.ipc import bus
from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.messages.lifecycle import Failed, Note, Ready, Terminated
from amoc.ipc.messages.links import FromNode, ToNode
from amoc.ipc.messages.samples import Sample
from amoc.runtime.controller import node_reports
from amoc.runtime.controller.node_state import Node
from amoc.runtime.launcher import LaunchedNode, node_name

MAX_TOGETHER = 100
"""Most commands in one frame; a command may have 64 KiB, a frame 64 MiB."""
SUSPENDED_S = 2.0
"""A controller that has not run for this long was suspended, by Ctrl-Z for example."""
CHECK_EACH_NS = 20_000
"""Minimum interval between two checks of all nodes, per node. Limits their cost to a few percent of
a core, however many nodes there are and however often they report."""
MIN_REST_NS = MS_NS
SEARCH_EACH_NS = 200_000
"""Minimum interval between two searches for lost nodes, per node, as each takes some microseconds
per node. A node that reports that it cannot go on is handled at once."""
LEAVE_S = 5.0
LOOK_S = 0.1
MAX_REASON = 200
"""Most characters of the reason for which a report is invalid."""

M = TypeVar("M")


class Nodes:
    """The controller's connections to its nodes.

    Attributes:
        all: All nodes by number, lost ones included.
        present: The nodes that were not lost.
        failure: The error that ends the run, if any.
        changed: Rings when a report has arrived.
    """

    def __init__(
        self,
        parent: bus.Parent[ToNode, FromNode],
        nodes: Sequence[LaunchedNode],
        take: Callable[[str, FromNode], None],
        check: Callable[[], None],
        on_loss: Callable[[Node, AmocError], bool] = lambda *_: False,
        highest_id: int = 1 << 32,
    ) -> None:
        """Communicate through `parent`.

        Args:
            parent: The bus, already bound; it expects the nodes.
            nodes: The nodes, which are watched.
            take: Receives the name of the node and its report, for each report.
            check: Raises other errors that end a wait.
            on_loss: Called with a lost node once nothing of it runs; returns whether the run
                goes on without it.
            highest_id: The highest possible user id of the run.
        """
        now = now_ns()
        self.all = [Node(one, node_name(one.number), now) for one in nodes]
        self.present = list(self.all)
        self.failure: AmocError | None = None
        self.changed = Notify()
        self._bus = parent
        self._take = take
        self._check = check
        self._on_loss = on_loss
        self._highest_id = highest_id
        self._by_name = {node.name: node for node in self.all}
        self._homes: dict[int, Node] = {}
        self._posted: dict[str, list[bytes]] = {}
        self._listened_ns = now
        self._checked_ns = self._next_search_ns = 0

    def listen(self) -> None:
        """Process reports until this greenlet is killed."""
        for envelope in self._bus.reports():
            now = now_ns()
            self._handle_suspension(now - self._listened_ns)
            self._listened_ns = now
            if envelope is not None:
                try:
                    self._receive(envelope.child, envelope.record)
                except Exception as error:  # later reports must still be received
                    self._fail(error)

    def _handle_suspension(self, suspended_ns: int) -> None:
        if suspended_ns > SUSPENDED_S * S_NS:
            # This process was suspended (Ctrl-Z, a slow terminal), not the nodes.
            for node in self.present:
                node.heard_ns += suspended_ns
            text = f"amoc itself was suspended for {format_duration(suspended_ns / S_NS)}"
            self._take("", Note("warning", f"{text}: no throttle executed"))

    def _receive(self, name: str, record: FromNode) -> None:
        node = self._by_name.get(name)
        if node is not None:
            try:
                is_ready = Ready in node.seen
                node_reports.check(record, node.workers, self._highest_id, is_ready=is_ready)
            except (PeerError, TypeError, ValueError) as error:
                reason = printable(str(error)[:MAX_REASON])
                text = f"{name} has sent an invalid {type(record).__name__}: {reason}"
                self._record_failure(node, PeerError(text))
                return
            node.heard_ns = self._listened_ns
            node.seen[type(record)] = record
            if isinstance(record, Failed):
                self._record_failure(node, failed(ExitCode(record.exit_code), record.message))
        self._take(name, record)
        # An envelope is handled by the part it is for; a sample is news once it has been processed.
        if not isinstance(record, (Envelope, Sample)):
            self.changed.ring()

    def _record_failure(self, node: Node, error: AmocError) -> None:
        """Record that a node cannot go on."""
        node.failure = error
        self._next_search_ns = 0
        self.changed.ring()

    def guarded(self, task: Callable[..., object], *arguments: object) -> None:
        """Run ``task(*arguments)``; a bug in it ends the run rather than just this greenlet."""
        try:
            task(*arguments)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failure = error if isinstance(error, AmocError) else AmocError(traceback.format_exc())
        self.changed.ring()

    def names_of(self, name: str) -> tuple[str, str]:
        """Return what an operator may call the node of this name."""
        return self._by_name[name].names

    # Sending

    def number_workers(self, counts: Sequence[int]) -> None:
        """Number the workers node by node, given how many each node has."""
        for node, count in zip(self.all, counts, strict=True):
            node.workers = range(len(self._homes), len(self._homes) + count)
            self._homes.update(dict.fromkeys(node.workers, node))

    def post(self, name: str, command: ToNode) -> None:
        """Queue `command` for a node until `send_posted`."""
        self._posted.setdefault(name, []).append(self._bus.pack(command))

    def send_posted(self) -> None:
        """Send queued commands: one frame per node costs little more than one command."""
        posted, self._posted = self._posted, {}
        for name, commands in posted.items():
            for at in range(0, len(commands), MAX_TOGETHER):
                self._send_packed(name, *commands[at : at + MAX_TOGETHER])

    def send(self, name: str, command: ToNode) -> None:
        """Send `command` to a node; ignored if the node is lost."""
        self._send_packed(name, self._bus.pack(command))

    def _send_packed(self, name: str, *commands: bytes) -> None:
        try:
            self._bus.send_packed(name, *commands)
        except PeerError as error:  # this may be a callback of the loop, with no caller to raise to
            self._record_failure(self._by_name[name], error)

    def send_once(self, name: str, command: ToNode) -> None:
        """Send `command` to a node, see `amoc.ipc.bus.parent.Parent.send_once`."""
        self._bus.send_once(name, command)

    def send_all(self, command: ToNode) -> None:
        """Send `command` to all nodes."""
        packed = self._bus.pack(command)
        for node in self.present:
            self._send_packed(node.name, packed)

    def send_to_worker(self, worker: int, command: ToNode) -> None:
        """Send `command` to the node of a worker."""
        self.send(self._homes[worker].name, command)

    def pass_on(self, envelope: Envelope) -> None:
        """Forward mail from another node's worker to the node of the receiving worker."""
        _, worker, _ = envelope.header()
        node = self._homes.get(worker)
        if node is None or node.lost:
            return  # its users have moved or are gone, and their mail is lost with the node
        if self._bus.accepts_mail(node.name):
            self.send(node.name, envelope)
        else:
            node.mail_dropped += 1

    # Waiting

    def wait_for(
        self, kind: type[M], deadline_s: float, what: str, rule: str, *, of_init: bool = False
    ) -> dict[str, M]:
        """Wait for a report of type `kind` from all nodes; see `until`. Return the latest of each.

        Raises:
            AmocError: The run cannot go on.
        """

        def have_all() -> bool:
            return all(kind in node.seen for node in self.present)

        self.until(have_all, deadline_s, what, rule, of_init=of_init)
        reports = {node.name: node.seen[kind] for node in self.present}
        assert all(isinstance(one, kind) for one in reports.values())
        return reports  # type: ignore[return-value]

    def until(
        self,
        condition: Callable[[], bool],
        deadline_s: float,
        what: str,
        rule: str,
        *,
        of_init: bool = False,
    ) -> None:
        """Wait for `condition`; after the deadline, `what` has failed to do `rule`.

        With `of_init`, the deadline is that of init().

        Raises:
            AmocError: The run cannot go on.
        """
        give_up = now_ns() + int(deadline_s * S_NS)
        while not condition():
            self.check()
            if now_ns() > give_up:
                text = f"{what} did not {rule} within {deadline_s:g} s"
                if of_init:
                    raise failed(ExitCode.INIT_TIMEOUT, f"{text} (--init-timeout)")
                raise PeerError(text)
            self.wait(LOOK_S)

    def wait(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for a report; with many nodes, a bit longer for more of them."""
        self.changed.wait(timeout_s)
        rest_ns = self._checked_ns + CHECK_EACH_NS * len(self.present) - now_ns()
        if rest_ns > MIN_REST_NS:
            gevent.sleep(rest_ns / S_NS)

    def check(self) -> None:
        """Give up lost nodes; raise the error that ends the run early, if any."""
        if self.failure is not None:
            raise self.failure
        self._check()
        self._checked_ns = now = now_ns()
        if now < self._next_search_ns:
            return
        self._next_search_ns = now + SEARCH_EACH_NS * len(self.present)
        failures = [(node, self.failure_of(node)) for node in self.present]
        self._lose([(node, error) for node, error in failures if error is not None])
        for node in self.present:
            if node.mail_dropped:
                dropped, node.mail_dropped = node.mail_dropped, 0
                text = f"{counted(dropped, 'envelope')} of mail to {node.name} dropped"
                self._take(node.name, Note("warning", f"{text}: it is not keeping up"))

    def failure_of(self, node: Node) -> AmocError | None:
        """Return why the run cannot go on with a node; None if it can."""
        has_unread = self._bus.has_unread_messages
        return node.find_failure(now_ns(), self._listened_ns, len(self.present), has_unread)

    def _lose(self, lost: Sequence[tuple[Node, AmocError]]) -> None:
        """Go on without nodes if that is allowed; end the nodes of a whole rack in parallel.

        Raises:
            AmocError: It is not allowed.
        """
        for _, error in lost:
            if error.exit_code is not ExitCode.NODE_LOST:
                raise error
        gone = lost[: len(self.present) - 1]
        self.give_up_all([(node, str(error)) for node, error in gone])
        for node, error in gone:
            if not self._on_loss(node, error):
                raise error
            self.present.remove(node)
            yield_to_loop()  # serve the other nodes, however many are lost at once
        for _, error in lost[len(gone) :]:
            raise error

    def give_up_all(self, nodes: Iterable[tuple[Node, str]]) -> None:
        """End nodes in parallel, each for the given reason."""
        giving_up = [gevent.spawn(self.give_up, node, why) for node, why in nodes]
        gevent.joinall(giving_up, raise_error=True)

    def give_up(self, node: Node, why: str) -> None:
        """End a node; after this nothing of it runs, and nothing more is received from it."""
        node.lost = why
        node.launched.kill()
        node.launched.end(LEAVE_S, f"the controller has given up this node: {why}")
        self._bus.forget(node.name)  # late messages are dropped

    # Joining

    def expect(self, launched: LaunchedNode, workers: range) -> Node:
        """Receive from a node that is about to join; `join` or `give_up` must follow."""
        node = Node(launched, node_name(launched.number), now_ns(), workers=workers)
        self._by_name[node.name] = node
        self._homes.update(dict.fromkeys(workers, node))
        return node

    def join(self, node: Node, at_s: float) -> None:
        """Let an expected node take part, `at_s` seconds after users could start."""
        node.joined_at_s = round(at_s, 3)
        self.all.append(node)
        self.present.append(node)

    def are_running(self) -> bool:
        """Return whether the processes of all present nodes are running."""
        return all(node.launched.ended() is None for node in self.present)

    def end(self, at_once: bool) -> None:
        """End the processes of all nodes and all their children, if still running."""
        for node in self.present:
            if at_once and Terminated not in node.seen:
                node.launched.kill()  # the kernel ends its children
        ending = [gevent.spawn(node.launched.end, LEAVE_S) for node in self.present]
        gevent.joinall(ending, raise_error=True)


def failed(code: ExitCode, message: str) -> AmocError:
    """Return an error with the exit code `code`."""
    return AmocError(message).with_code(code)
