"""The connections that a session keeps between requests, by server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from amoc.http.urls import Origin

MAX_SERVERS: Final = 100
"""Beside the session's own. Of more, those connections are closed whose server was not asked for
longest."""


class Kept(Protocol):
    """What a pool keeps; it leaves the pool by itself when it is closed."""

    is_open: bool

    def close(self) -> None: ...  # noqa: D102


C = TypeVar("C", bound=Kept)


class Pool(list[C]):
    """Those to one server; the last one is used first.

    Attributes:
        most: How many there may be; 0 once the server is forgotten.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, connection: C) -> None:
        """Keep one whose request is over, if it can be used again; else it is closed."""
        if connection.is_open:
            if len(self) < self.most:
                self.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close all."""
        while self:
            self[-1].close()


class Pools(Generic[C]):
    """Those of a session.

    Attributes:
        home: That of its own server.
    """

    __slots__ = ("_by_origin", "_most", "_origin", "home")

    def __init__(self, origin: Origin | None, most: int) -> None:
        """Keep `most` connections to each server; `origin` is the session's own."""
        self._origin = origin
        self.home: Pool[C] = Pool(most)
        self._by_origin: dict[Origin, Pool[C]] = {}
        self._most = most

    def of(self, origin: Origin) -> Pool[C]:
        """The pool of a server, which is used now."""
        if origin == self._origin:
            return self.home
        pools = self._by_origin
        pool = pools.pop(origin, None)
        if pool is None:
            pool = Pool(self._most)
            if len(pools) >= MAX_SERVERS:
                oldest = pools.pop(next(iter(pools)))
                oldest.most = 0  # what is under way is closed when it comes back
                oldest.close()
        pools[origin] = pool
        return pool

    def close(self) -> None:
        """Close all."""
        for pool in (self.home, *self._by_origin.values()):
            pool.close()
