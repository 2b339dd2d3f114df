"""The idle connections of a session, by server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from amoc.http.urls import Origin

MAX_SERVERS: Final = 100
"""Maximum number of other servers than the session's own. Beyond it, the connections to the least
recently used server are closed."""


class Kept(Protocol):
    """A connection in a pool. It removes itself from the pool when it is closed."""

    is_open: bool

    def close(self) -> None: ...  # noqa: D102


C = TypeVar("C", bound=Kept)


class Pool(list[C]):
    """The idle connections to one server. The most recently used one is reused first.

    Attributes:
        most: Maximum number of connections; 0 once the server has been dropped.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, connection: C) -> None:
        """Keep a connection for reuse, if it is still open. Close it if the pool is full."""
        if connection.is_open:
            if len(self) < self.most:
                self.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close all connections."""
        while self:
            self[-1].close()


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
