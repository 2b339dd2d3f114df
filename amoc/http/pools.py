"""The idle connections of a session, by server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from amoc.http.urls import Origin

FRESH_NS: Final = 1_000_000_000
"""A connection that was idle for longer is checked before it is used."""
MAX_SERVERS: Final = 100
"""Maximum number of other servers than the session's own. Beyond it, the connections to the least
recently used server are closed."""


class Kept(Protocol):
    """A connection in a pool. It removes itself from the pool when it is closed."""

    is_open: bool
    end_ns: int

    def is_alive(self) -> bool: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


C = TypeVar("C", bound=Kept)


class Pool(Generic[C]):
    """The idle connections to one server. The most recently used one is reused first.

    Attributes:
        last: The most recently used one, apart from the others: most sessions never have two.
        most: Maximum number of connections; 0 once the server has been dropped.
    """

    __slots__ = ("_others", "last", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.last: C | None = None
        self._others: list[C] = []

    def take(self, now_ns: int) -> C | None:
        """Remove a connection for use, and return it; None if none of them is still open."""
        while True:
            one, self.last = self.last, None
            if one is None:
                if not self._others:
                    return None
                one = self._others.pop()
            if now_ns - one.end_ns < FRESH_NS or one.is_alive():
                return one

    def keep(self, connection: C) -> None:
        """Keep a connection for reuse, if it is still open. Close it if the pool is full."""
        if not connection.is_open:
            return
        if len(self._others) + (self.last is not None) >= self.most:
            connection.close()
            return
        if self.last is not None:
            self._others.append(self.last)
        self.last = connection

    def discard(self, connection: C) -> None:
        """Remove a connection, if it is here."""
        if connection is self.last:
            self.last = None
        elif connection in self._others:
            self._others.remove(connection)

    def close(self) -> None:
        """Close all connections."""
        for one in (self.last, *self._others):
            if one is not None:
                one.close()


class Pools(Generic[C]):
    """The pools of a session.

    Attributes:
        home: The pool of its own server.
    """

    __slots__ = ("_by_origin", "_most", "_origin", "home")

    def __init__(self, origin: Origin | None, most: int) -> None:
        """Keep `most` connections to each server; `origin` is the session's own."""
        self._origin = origin
        self.home: Pool[C] = Pool(most)
        self._by_origin: dict[Origin, Pool[C]] = {}
        self._most = most

    def of(self, origin: Origin) -> Pool[C]:
        """Return the pool of a server, and mark it as the most recently used."""
        if origin == self._origin:
            return self.home
        pools = self._by_origin
        pool = pools.pop(origin, None)
        if pool is None:
            pool = Pool(self._most)
            if len(pools) >= MAX_SERVERS:
                oldest = pools.pop(next(iter(pools)))
                oldest.most = 0  # connections in use are closed when they come back
                oldest.close()
        pools[origin] = pool
        return pool

    def close(self) -> None:
        """Close all connections."""
        for pool in (self.home, *self._by_origin.values()):
            pool.close()
