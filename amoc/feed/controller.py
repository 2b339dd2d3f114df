"""The controller's end of feeds: deals rows to workers and keeps track of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from amoc.base.errors import PeerError, ScenarioError
from amoc.base.operator_log import OperatorLog
from amoc.base.text import counted
from amoc.feed.dealing import Dealer, Dealt
from amoc.feed.registry import DECLARE
from amoc.ipc.messages import feed as messages
from amoc.ipc.worker_id import WorkerId

Post = Callable[[WorkerId, messages.FeedToWorker], None]


class Feeds:
    """Deals the rows of all feeds of a run.

    Attributes:
        operations: The operations that a supervisor calls once init() has returned.
    """

    def __init__(self, post: Post, operator: OperatorLog | None = None) -> None:
        """Start without feeds.

        Args:
            post: Queues a message to a worker.
            operator: Warned of rows lost with a worker.
        """
        self._post = post
        self._operator = operator or OperatorLog()
        self._dealers: dict[str, Dealer[WorkerId]] = {}
        self._scenarios: dict[str, str] = {}
        self._declared: dict[str, tuple[str, str, int, bool]] = {}
        self.operations: Mapping[str, Callable[..., object]] = {DECLARE: self._declare}

    def __repr__(self) -> str:
        return f"<feeds: {', '.join(self._declared) or 'none'}>"

    def _declare(
        self,
        _: WorkerId | None,
        name: str,
        order: str,
        share: str,
        rows: int,
        wraps: bool,
        scenario: str = "",
    ) -> None:
        new = (order, share, rows, wraps)
        known = self._declared.setdefault(name, new)
        if known != new:
            raise ScenarioError(
                f"feed {name} must be the same on all hosts, got {counted(known[2], 'row')} and"
                f" {rows:,}"
            )
        if share == "run" and name not in self._dealers:
            self._dealers[name] = Dealer(rows, wraps)
            self._scenarios[name] = scenario

    def too_short_for(self, users_of: Callable[[str], int], *, mixed: bool = False) -> list[str]:
        """Return a warning for each feed with fewer rows than users that may take one.

        Args:
            users_of: Returns the number of users of a scenario file; of all users if it is empty.
            mixed: Whether there are several kinds of users.
        """
        told = []
        for name, dealer in self._dealers.items():
            scenario = self._scenarios[name]
            if dealer.wraps or dealer.rows >= (users := users_of(scenario)):
                continue
            whose = ""
            if scenario:
                whose = f" of {scenario}"
            elif mixed:
                whose = " of several kinds; that is enough only if few of them take rows"
            told.append(
                f"feed {name} has {counted(dealer.rows, 'row')}, each handed out once, but there"
                f" will be up to {users:,} users{whose}"
            )
        return told

    def worker_lost(self, origin: WorkerId) -> None:
        """Write off the rows that a lost worker held."""
        for name, dealer in self._dealers.items():
            rows, told = dealer.lost(origin)
            self._tell(name, told)
            if rows and not dealer.wraps:
                self._operator.warning(
                    f"worker {origin.worker} was lost with up to {counted(rows, 'row')} of feed"
                    f" {name}; they are not handed out again"
                )

    def handle(self, origin: WorkerId, body: memoryview) -> None:
        """Handle an envelope from a worker."""
        for record in messages.FEED_TO_CONTROLLER.unpack_stream(body):
            dealer = self._dealers.get(record.feed)
            if dealer is None:
                raise PeerError(f"worker {origin} asked for rows of unknown feed {record.feed}")
            match record:
                case messages.FeedWant(name):
                    self._tell(name, dealer.want(origin, *record[1:]))
                case messages.FeedReturned(name, ranges, received):
                    told = dealer.returned(origin, [(*one,) for one in ranges], received)
                    self._tell(name, told)

    def _tell(self, name: str, told: Dealt[WorkerId]) -> None:
        for worker, ranges in told.rows:
            self._post(worker, messages.FeedRows(name, ranges))
        for worker in told.recall:
            self._post(worker, messages.FeedRecall(name))
        for worker in told.ended:
            self._post(worker, messages.FeedEnded(name))

    def states(self) -> list[messages.FeedState]:
        """Return the state of all feeds."""
        found = []
        for name, (order, share, rows, _) in self._declared.items():
            dealer = self._dealers.get(name)
            dealt, ended = (dealer.dealt, dealer.ended) if dealer is not None else (None, False)
            found.append(messages.FeedState(name, order, share, rows, dealt, ended))
        return found
