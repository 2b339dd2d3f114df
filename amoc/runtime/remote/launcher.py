"""Starts the nodes of a run on other hosts, through a keeper on each.

Hosts come on their own (`join`), or a starter (`ssh`, `ray`) starts keepers on them. Either way
they join with the secret, get their own keys, and are told what to run. A node counts as ended when
its keeper reports it, or when the keeper was silent for so long that it must have ended it, see
`fencing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from typing import Protocol

import gevent
import zmq
from gevent.queue import SimpleQueue

from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, PeerError, ResourceError
from amoc.base.run_clock import host_clock
from amoc.base.text import counted, cut, printable
from amoc.base.waiting import Notify
from amoc.install.bundle import Bundle
from amoc.ipc import bus
from amoc.ipc.bus.place import port_of
from amoc.ipc.messages import keeper as messages
from amoc.ipc.messages.lifecycle import Bootstrap, Hello, Note
from amoc.ipc.messages.links import BOOTSTRAP
from amoc.runtime.remote.address import Address
from amoc.runtime.remote.remote_node import RemoteNode
from amoc.runtime.remote.rendezvous import Rendezvous

CHUNK_BYTES = 128 << 10
"""Size of a piece of a bundle. All hosts fetch it at once, and echoes must not wait long behind it,
or on a slow connection keepers would assume that their controller is lost."""
MAX_CHUNKS = 4
"""Most chunks on their way to one keeper, which requests one after the other."""
LOOK_S = 0.05
MAX_HOW = 1_000
"""Most characters of how a node has ended."""


class Starter(Protocol):
    """Starts keepers on the hosts of a run, for example by `ssh` or `ray`."""

    def start(self, port: int, secret: bytes, /) -> None:
        """Start; hosts join at `port`."""

    def trouble(self) -> str:
        """Return why a host cannot join; empty if nothing is known to be wrong."""

    def found(self) -> str:
        """Return the progress, for the message after a timeout; empty if unknown."""

    def engine_id(self, host: str, /) -> str:
        """Return the engine's name of a host that has joined as `host`; empty if it is the same."""

    def came(self) -> None:
        """Record that all hosts have joined: later problems are reported to the operator."""

    def close(self) -> None:
        """End what was started."""


class RemoteLauncher:
    """Starts a number of nodes on other hosts; see `amoc.runtime.launcher.Launcher`.

    Attributes:
        nodes: Nodes that have joined or are joining, during the run, too.
        seats: How many nodes the run can have, including those that join later and lost ones.
        timeout_s: How long all hosts may take to join.
    """

    def __init__(
        self,
        wanted: int,
        secret: bytes,
        bind: Address,
        bundle: Bundle,
        timeout_s: float,
        starter: Starter | None = None,
        tell: Callable[[str], object] = lambda _line: None,
        seats: int = 0,
    ) -> None:
        """Create it; nothing is bound yet.

        Args:
            wanted: Number of initial nodes.
            secret: The secret that hosts need to join.
            bind: Where they join; four more ports follow.
            bundle: What they receive.
            timeout_s: How long all hosts may take to join.
            starter: Starts keepers on hosts; None if hosts come on their own.
            tell: Shows lines to the operator.
            seats: How many nodes there can be, if more than `wanted`.
        """
        self.nodes: list[RemoteNode] = []
        self._by_keeper: dict[str, RemoteNode] = {}
        self._keeper_numbers = count(0)
        self._wanted = wanted
        self.seats = max(wanted, seats)
        self._newcomers: SimpleQueue[RemoteNode] = SimpleQueue()
        self._secret = secret
        self._bind = bind._replace(host=bind.host or "*")
        self._bundle = bundle
        self.timeout_s = timeout_s
        self._starter = starter
        self._tell = tell
        self._changed = Notify()
        self._ports: tuple[int, ...] = ()
        self._opened = ExitStack()
        self._rendezvous: Rendezvous | None = None

    @property
    def port(self) -> int:
        """The port where hosts join; 0 until it is known."""
        return self._rendezvous.port if self._rendezvous is not None else 0

    def start(self, _directory: str) -> Sequence[RemoteNode]:
        """Wait until all initial nodes have joined.

        Raises:
            ResourceError: They have not in time, or the address cannot be bound.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gate = bus.Gate(self._context)
        self._opened.callback(self._gate.close)
        self._keys = bus.new_keys()
        try:
            self._open()
            self._wait()
        except BaseException as error:
            # With a starter, the output of keepers is shown here, where the reason is known.
            is_news = self._starter is None and isinstance(error, AmocError)
            why = f"the run did not start: {error}" if is_news else ""
            for node in self.nodes:
                self.tell(node, messages.Leave(why))
            self.nodes.clear()
            self.close()
            self._context.destroy(linger=bus.LINGER_MS)
            raise
        return sorted(self._first, key=lambda node: node.number)

    @property
    def _first(self) -> list[RemoteNode]:
        """The initial nodes."""
        return [one for one in self.nodes if one.number < self._wanted]

    def _open(self) -> None:
        host = self._bind.host
        listen = bus.Listen(self._gate, self._keys, host, self._bind.ports(1), "keepers")
        self._parent: bus.Parent[messages.ToKeeper, messages.FromKeeper] = bus.Parent(
            self._context, listen, messages.TO_KEEPER, messages.FROM_KEEPER
        )
        self._opened.callback(self._parent.close)
        self._opened.callback(gevent.spawn(self._receive).kill)
        self._rendezvous = Rendezvous(
            self._context, self._gate, self._secret, self._bind, self._take
        )
        self._opened.callback(self._rendezvous.close)
        if self._starter is not None:
            self._opened.callback(self._starter.close)
            self._starter.start(self._rendezvous.port, self._secret)
        else:
            where = Address(host, self._rendezvous.port)
            self._tell(f"waiting for {counted(self._wanted, 'node')} at {where}")

    def _wait(self) -> None:
        begun_ns = now_ns()
        while self._joined() < self._wanted:
            trouble = self._starter.trouble() if self._starter is not None else ""
            if trouble or now_ns() - begun_ns > self.timeout_s * S_NS:
                raise ResourceError(self._lacking(trouble))
            self._changed.wait(LOOK_S)
        if self._starter is not None:
            self._starter.came()

    def _joined(self) -> int:
        """Return how many initial nodes are present; those that have left make room for others."""
        for node in [one for one in self._first if one.ended() is not None]:
            self.nodes.remove(node)
            self.forget(node)
            self._tell(f"node{node.number} {node.how}")
        return sum(node.is_there for node in self._first)

    def _lacking(self, trouble: str) -> str:
        """Return why the run cannot start."""
        there = [one.host for one in self._first if one.is_there]
        text = f"{len(there)} of {self._wanted} nodes have joined"
        text += f" ({', '.join(there)})" if there else ""
        text += f": {trouble}" if trouble else f" within {format_duration(self.timeout_s)}"
        assert self._rendezvous is not None
        if not trouble and self._starter is not None and (found := self._starter.found()):
            text += f"; {found}"
        for host, why in self._rendezvous.turned.items():
            text += f"; {host} was turned away: {why}"
        refused = self._gate.refused().text()
        return f"{text}; {refused}" if refused else text

    def listen(self, _directory: str) -> tuple[zmq.Context[zmq.Socket[bytes]], bus.Listen]:
        """Return the context for the run's sockets, and the address where its nodes connect."""
        listen = bus.Listen(self._gate, self._keys, self._bind.host, self._bind.ports(3))
        return self._context, listen

    def bound_at(self, endpoints: tuple[str, str]) -> None:
        """Record where the run's sockets are bound."""
        self._ports = tuple(map(port_of, endpoints))

    def _take(self, join: messages.Join) -> messages.Joined | messages.Rejected:
        """Decide about a host that wants to join."""
        known = [node for node in self.nodes if node.join.keeper_key == join.keeper_key]
        if known:
            node = known[0]
        elif len(self.nodes) < self.seats:
            taken = {one.number for one in self.nodes}
            free = next(number for number in count() if number not in taken)
            # Late messages of a keeper that has left are recognised by its name: never reuse it.
            node = RemoteNode(free, next(self._keeper_numbers), join, self)
            self._parent.expect(node.keeper, join.keeper_key)
            self.nodes.append(node)
            self._by_keeper[node.keeper] = node
        else:
            most = " (--max-nodes)" if self.seats > self._wanted else ""
            return messages.Rejected(f"the run already has all of its {self.seats} nodes{most}")
        ports = [*map(port_of, self._parent.endpoints)]
        return messages.Joined(node.keeper_number, ports, self._keys.public, host_clock())

    # Keepers

    def engine_id(self, host: str) -> str:
        """Return the name of a host at whatever has started it; empty if it is the same."""
        return self._starter.engine_id(host) if self._starter is not None else ""

    def tell(self, node: RemoteNode, command: messages.ToKeeper) -> None:
        """Send a command to a node's keeper; a keeper that reads none is given up soon."""
        with suppress(PeerError):
            self._parent.send(node.keeper, command)

    def forget(self, node: RemoteNode) -> None:
        """Receive nothing more from its keeper."""
        self._parent.forget(node.keeper)
        self._by_keeper.pop(node.keeper, None)

    def has_unread_messages(self) -> bool:
        """Return whether there are unread messages of keepers."""
        return self._parent.has_unread_messages()

    def begin(self, node: RemoteNode, bootstrap: Bootstrap) -> None:
        """Have the keeper of a node start it."""
        told = bootstrap._replace(scenario=self._bundle.scenario, endpoint="", libraries="")
        packed, data = BOOTSTRAP.pack(told), self._bundle.data
        self.tell(node, messages.Begin(packed, self._ports, self._bundle.digest, len(data)))

    def _receive(self) -> None:
        for received in self._parent.reports():
            if received is None:
                continue
            node = self._by_keeper.get(received.child)
            if node is not None:
                try:
                    self._take_report(node, received.record)
                except Exception as error:  # messages of other keepers must still be received
                    # It is given up like a silent keeper, as its node may still be running.
                    node.invalid = (
                        f"on {node.host} has sent an invalid message: {printable(cut(error, 200))}"
                    )
                    self.forget(node)
            elif self.nodes and isinstance(received.record, Note):
                self.nodes[0].print([f"amoc: {received.record.text}"])

    def _came(self, node: RemoteNode) -> None:
        """Record that a node's keeper is connected."""
        node.is_there, node.heard_ns = True, now_ns()
        if node.number >= self._wanted:
            self._newcomers.put(node)
            return
        there = sum(one.is_there for one in self._first)
        self._tell(f"node{node.number} is on {node.host} ({there} of {self._wanted})")
        self._changed.ring()

    def _take_report(self, node: RemoteNode, report: messages.FromKeeper) -> None:
        match report:
            case Hello():
                self._came(node)
            case messages.Beat(asked_ns, bound_ns):
                node.heard_ns = now_ns()
                node.note_clock(bound_ns)
                self._parent.send_once(
                    node.keeper, messages.Echo(asked_ns, node.heard_ns, now_ns())
                )
            case messages.Printed(lines):
                node.print(lines)
            case messages.Logged():
                node.log(report)
            case messages.Ended(how, is_clean):
                node.is_clean = node.how is None and is_clean
                node.how = node.how or printable(str(how)[:MAX_HOW])
            case Note(_, text):
                node.print([text])
            case messages.Fetch(offset):
                part = self._bundle.data[offset : offset + CHUNK_BYTES]
                if self._parent.backlog_bytes(node.keeper) < MAX_CHUNKS * CHUNK_BYTES:
                    self.tell(node, messages.Chunk(offset, part))

    def newcomers(self) -> Iterator[RemoteNode]:
        """Yield nodes that join after the initial ones."""
        while True:
            yield self._newcomers.get()

    def close(self) -> None:
        """End the remaining keepers, and close the sockets."""
        while not self._newcomers.empty():
            self.tell(self._newcomers.get(), messages.Leave())
        self._opened.close()
