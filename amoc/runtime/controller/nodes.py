"""What the controller hears from its nodes, and how it waits for them.

Reports come in all the time and wake what waits. A wait ends when its condition holds for all nodes
that are there, or with an error: a node has died, has said that it cannot go on, has been silent
for too long, or has not done in time what it was to do. Where the run may go on without a node, it
is given up instead: nothing of it is heard or left running from then on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import gevent

from amoc.base.clock import MS_NS, S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, ExitCode, InitError, PeerError
from amoc.base.json_plain import JsonObject
from amoc.base.loop_yield import yield_to_loop
from amoc.base.text import counted, printable
from amoc.base.waiting import Notify
from amoc.ipc import bus
from amoc.ipc.mail_limit import accepts_mail
from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.messages.lifecycle import Failed, Hello, Note, Ready, Terminated
from amoc.ipc.messages.links import FromNode, ToNode
from amoc.ipc.messages.samples import Sample
from amoc.runtime.controller import node_reports
from amoc.runtime.launcher import LaunchedNode, node_name

SILENT_S = 15.0
"""A node that reports nothing for so long counts as lost: it samples every second."""
MAX_TOGETHER = 100
"""Commands in one frame; one may have 64 KiB, and a frame 64 MiB."""
SLEPT_S = 2.0
"""After so long that the controller has not run, stopped by Ctrl-Z say, the operator is told."""
EACH_NS = 20_000
"""After it was looked at all nodes, so long for each of them nothing is decided anew: some percent
of a core, however many there are and however often they report."""
MIN_REST_NS = MS_NS
LOOK_EACH_NS = 200_000
"""After all nodes were looked at for what has become of them, so long for each of them they are not
again, unless one has said that it cannot go on: that takes some microseconds for each."""
LEAVE_S = 5.0
LOOK_S = 0.1
MAX_WRONG = 200
"""Characters of what is wrong with a report."""
LAST_WORDS_NS = 200 * MS_NS
LAST_WORDS_EACH_NS = 2 * MS_NS
CLEAN_NS = 8 * S_NS
"""How long the last report of a node that has died may still be on the way: that of one, and what
is added for each node, for all may leave at once. Of one that has ended well it is certainly on the
way, over a connection that may have to send it several times."""


M = TypeVar("M")


@dataclass(eq=False)
class Node:
    """A node, as the controller knows it.

    Attributes:
        launched: Its process.
        name: What the bus, views and figures call it.
        seen: The latest report of each kind.
        workers: The numbers of its workers, once they are known.
        failure: Why it cannot go on, when it has said so or does not listen.
        lost: Why the run goes on without it; empty as long as it is there.
        joined_at_s: When it has joined, since users could start; None for those of the start.
        ended_ns: When its process was first seen to have ended; 0 before that.
    """

    launched: LaunchedNode
    name: str
    heard_ns: int
    seen: dict[type, FromNode] = field(default_factory=dict)
    workers: range = range(0)
    failure: AmocError | None = None
    lost: str = ""
    joined_at_s: float | None = None
    mail_dropped: int = 0
    ended_ns: int = 0

    @property
    def names(self) -> tuple[str, str]:
        """What an operator may call it: its name, or its host's."""
        return self.name, self.launched.host

    def to_json(self) -> JsonObject:
        """Which one it is and where, for the journal and the status."""
        return {
            "name": self.name,
            "host": self.launched.host,
            "id": self.launched.engine_id,
            "workers": list(self.workers),
            "clock_bound_s": self.launched.clock_bounds_ns[0] / S_NS,
            "joined_at_s": self.joined_at_s,
        }


class Nodes:
    """The controller's lines to its nodes.

    Attributes:
        all: The nodes, by number; with those that were lost.
        there: Those that were not.
        failure: What ends the run, when something has.
        changed: Rings when something was heard.
    """

    def __init__(
        self,
        parent: bus.Parent[ToNode, FromNode],
        nodes: Sequence[LaunchedNode],
        take: Callable[[str, FromNode], None],
        check: Callable[[], None],
        spare: Callable[[Node, AmocError], bool] = lambda *_: False,
        highest_id: int = 1 << 32,
    ) -> None:
        """Talk through `parent`.

        Args:
            parent: Bound already; it expects the nodes.
            nodes: The nodes, which are watched.
            take: Gets each report with the name of the node that it came from.
            check: Raises what else ends a wait.
            spare: Told of a node that is lost, when nothing of it runs any more; whether the run
                goes on without it.
            highest_id: That a user of the run can come to have.
        """
        now = now_ns()
        self.all = [Node(one, node_name(one.number), now) for one in nodes]
        self.there = list(self.all)
        self.failure: AmocError | None = None
        self.changed = Notify()
        self._bus = parent
        self._take = take
        self._check = check
        self._spare = spare
        self._highest_id = highest_id
        self._by_name = {node.name: node for node in self.all}
        self._homes: dict[int, Node] = {}
        self._posted: dict[str, list[bytes]] = {}
        self._listened_ns = now
        self._checked_ns = self._looked_ns = 0

    def listen(self) -> None:
        """Take reports until this greenlet is killed."""
        for envelope in self._bus.reports():
            now = now_ns()
            self._note_sleep(now - self._listened_ns)
            self._listened_ns = now
            if envelope is not None:
                try:
                    self._hear(envelope.child, envelope.record)
                except Exception as error:  # one report must not deafen us to all that follow
                    self._fail(error)

    def _note_sleep(self, asleep_ns: int) -> None:
        if asleep_ns > SLEPT_S * S_NS:
            # We slept (a stopped job, a slow terminal), not the nodes.
            for node in self.there:
                node.heard_ns += asleep_ns
            text = f"amoc itself was suspended for {format_duration(asleep_ns / S_NS)}"
            self._take("", Note("warning", f"{text}: no throttle executed"))

    def _hear(self, name: str, record: FromNode) -> None:
        node = self._by_name.get(name)
        if node is not None:
            try:
                is_ready = Ready in node.seen
                node_reports.check(record, node.workers, self._highest_id, is_ready=is_ready)
            except (PeerError, TypeError, ValueError) as error:
                invalid = f"{name} has sent an invalid {type(record).__name__}"
                self._trouble(node, PeerError(f"{invalid}: {printable(str(error)[:MAX_WRONG])}"))
                return
            node.heard_ns = self._listened_ns
            node.seen[type(record)] = record
            if isinstance(record, Failed):
                self._trouble(node, failed(ExitCode(record.exit_code), record.message))
        self._take(name, record)
        # Of an envelope its part knows what to do about it; a sample is news once it is taken.
        if not isinstance(record, (Envelope, Sample)):
            self.changed.ring()

    def _trouble(self, node: Node, error: AmocError) -> None:
        """A node cannot go on."""
        node.failure = error
        self._looked_ns = 0
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

    def names_of(self, name: str) -> tuple[str, str]:
        """What an operator may call the node of this name."""
        return self._by_name[name].names

    # Sending

    def number_workers(self, counts: Sequence[int]) -> None:
        """How many workers each node has is known: they are numbered, node by node."""
        for node, count in zip(self.all, counts, strict=True):
            node.workers = range(len(self._homes), len(self._homes) + count)
            self._homes.update(dict.fromkeys(node.workers, node))

    def post(self, name: str, command: ToNode) -> None:
        """Send `command` to a node, with all that is posted to it until `send_posted`."""
        self._posted.setdefault(name, []).append(self._bus.pack(command))

    def send_posted(self) -> None:
        """Send what was posted: one frame for each node costs little more than for one command."""
        posted, self._posted = self._posted, {}
        for name, commands in posted.items():
            for at in range(0, len(commands), MAX_TOGETHER):
                self._send_packed(name, *commands[at : at + MAX_TOGETHER])

    def send(self, name: str, command: ToNode) -> None:
        """Send `command` to a node; one that is lost does not hear it."""
        self._send_packed(name, self._bus.pack(command))

    def _send_packed(self, name: str, *commands: bytes) -> None:
        try:
            self._bus.send_packed(name, *commands)
        except PeerError as error:  # this may be a callback of the loop, where nobody would hear it
            self._trouble(self._by_name[name], error)

    def send_once(self, name: str, command: ToNode) -> None:
        """Send `command` to a node, see `amoc.ipc.bus.parent.Parent.send_once`."""
        self._bus.send_once(name, command)

    def send_all(self, command: ToNode) -> None:
        """Send `command` to all nodes."""
        packed = self._bus.pack(command)
        for node in self.there:
            self._send_packed(node.name, packed)

    def send_to_worker(self, worker: int, command: ToNode) -> None:
        """Send `command` to the node of a worker."""
        self.send(self._homes[worker].name, command)

    def pass_on(self, envelope: Envelope) -> None:
        """Pass mail of another node's worker on to the node of the worker that it is for."""
        _, worker, _ = envelope.header()
        node = self._homes.get(worker)
        if node is None or node.lost:
            return  # its users are elsewhere, or gone, and so is what was sent to them there
        if accepts_mail(self._bus, node.name):
            self.send(node.name, envelope)
        else:
            node.mail_dropped += 1

    # Waiting

    def wait_for(
        self,
        kind: type[M],
        deadline_s: float,
        what: str,
        rule: str,
        option: str = "",
        code: ExitCode = ExitCode.NODE_LOST,
    ) -> dict[str, M]:
        """Wait for a report of that kind from all nodes, as `until` does; the latest of each.

        Raises:
            AmocError: The run cannot go on.
        """

        def have_all() -> bool:
            return all(kind in node.seen for node in self.there)

        self.until(have_all, deadline_s, what, rule, option, code)
        reports = {node.name: node.seen[kind] for node in self.there}
        assert all(isinstance(one, kind) for one in reports.values())
        return reports  # type: ignore[return-value]

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
            self.wait(LOOK_S)

    def wait(self, timeout_s: float) -> None:
        """Wait for news, `timeout_s` at the most; where many nodes have some, for more of it."""
        self.changed.wait(timeout_s)
        rest_ns = self._checked_ns + EACH_NS * len(self.there) - now_ns()
        if rest_ns > MIN_REST_NS:
            gevent.sleep(rest_ns / S_NS)

    def check(self) -> None:
        """Give up nodes that are lost; raise what ends the run before its time."""
        if self.failure is not None:
            raise self.failure
        self._check()
        self._checked_ns = now = now_ns()
        if now - self._looked_ns < LOOK_EACH_NS * len(self.there):
            return
        self._looked_ns = now
        troubles = [(node, self.trouble_of(node)) for node in self.there]
        self._lose([(node, error) for node, error in troubles if error is not None])
        for node in self.there:
            if node.mail_dropped:
                dropped, node.mail_dropped = node.mail_dropped, 0
                text = f"{counted(dropped, 'envelope')} of mail to {node.name} dropped"
                self._take(node.name, Note("warning", f"{text}: it is not keeping up"))

    def trouble_of(self, node: Node) -> AmocError | None:
        """Why there is no going on with a node; None where there is."""
        if node.failure is not None:
            return node.failure
        how = node.launched.ended()
        if how is not None:
            node.ended_ns = node.ended_ns or now_ns()
            words_ns = LAST_WORDS_NS + LAST_WORDS_EACH_NS * len(self.there)
            if node.launched.is_clean:
                words_ns = max(words_ns, CLEAN_NS)
            if Terminated in node.seen or (since_ns := now_ns() - node.ended_ns) < words_ns:
                return None
            if since_ns < SILENT_S * S_NS and self._bus.has_unread_messages():
                return None  # what it has said last may be among that: we are late ourselves
            return PeerError(f"{node.name} {how}")
        if Hello in node.seen and self._listened_ns - node.heard_ns > SILENT_S * S_NS:
            return PeerError(f"{node.name} has not reported for {SILENT_S:g} s")
        return None

    def _lose(self, lost: Sequence[tuple[Node, AmocError]]) -> None:
        """Go on without nodes, if that may be; those of a whole rack are ended side by side.

        Raises:
            AmocError: It may not.
        """
        for _, error in lost:
            if error.exit_code is not ExitCode.NODE_LOST:
                raise error
        gone = lost[: len(self.there) - 1]
        self.give_up_all([(node, str(error)) for node, error in gone])
        for node, error in gone:
            if not self._spare(node, error):
                raise error
            self.there.remove(node)
            yield_to_loop()  # serve the other nodes, however many are lost at once
        for _, error in lost[len(gone) :]:
            raise error

    def give_up_all(self, nodes: Iterable[tuple[Node, str]]) -> None:
        """End nodes, each for some reason, side by side."""
        giving_up = [gevent.spawn(self.give_up, node, why) for node, why in nodes]
        gevent.joinall(giving_up, raise_error=True)

    def give_up(self, node: Node, why: str) -> None:
        """End a node for some reason; nothing of it runs or is heard once this returns."""
        node.lost = why
        node.launched.kill()
        node.launched.end(LEAVE_S, f"the controller has given up this node: {why}")
        self._bus.forget(node.name)  # whatever comes late from it is not taken

    # Joining

    def expect(self, launched: LaunchedNode, workers: range) -> Node:
        """Hear a node that is to join with these workers; `join` or `give_up` must follow."""
        node = Node(launched, node_name(launched.number), now_ns(), workers=workers)
        self._by_name[node.name] = node
        self._homes.update(dict.fromkeys(workers, node))
        return node

    def join(self, node: Node, at_s: float) -> None:
        """A node that was expected takes part from now on, `at_s` since users could start."""
        node.joined_at_s = round(at_s, 3)
        self.all.append(node)
        self.there.append(node)

    def are_running(self) -> bool:
        """Whether the processes of all nodes are there that should be."""
        return all(node.launched.ended() is None for node in self.there)

    def end(self, at_once: bool) -> None:
        """End the processes of all nodes and all below them, if they are still there."""
        for node in self.there:
            if at_once and Terminated not in node.seen:
                node.launched.kill()  # the kernel ends all below it
        ending = [gevent.spawn(node.launched.end, LEAVE_S) for node in self.there]
        gevent.joinall(ending, raise_error=True)


def failed(code: ExitCode, message: str) -> AmocError:
    """An error with the exit code `code`."""
    error = AmocError(message)
    error.exit_code = code
    return error
