"""What brings hosts to a run, as its launcher knows it: `ssh`, say, or `ray`."""

from __future__ import annotations

from typing import Protocol


class Starter(Protocol):
    """What brings hosts to a run."""

    def start(self, port: int, secret: bytes, /) -> None:
        """Begin; hosts are to join at `port`."""

    def trouble(self) -> str:
        """What has gone wrong so that a host will not come; empty if nothing."""

    def found(self) -> str:
        """How far it has got, for when time is over; empty if it does not know."""

    def engine_id(self, host: str, /) -> str:
        """What the engine calls a host that has joined as `host`; empty if just that."""

    def came(self) -> None:
        """All hosts have come: nobody asks for trouble any more, so it is for the operator."""

    def close(self) -> None:
        """End what was begun."""
