"""The interface of starters, which start keepers on hosts, for example by `ssh` or `ray`."""

from __future__ import annotations

from typing import Protocol


class Starter(Protocol):
    """Starts keepers on the hosts of a run."""

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
