"""Carries chunks to a backend that may be away, slow, or refuse, in a greenlet of its own.

Whatever goes wrong is said once. A chunk that could not be handed over waits, and is tried again
after a pause that doubles up to 5 s. One that is refused is dropped, so that it does not keep
the others. At the end what is left is carried until the deadline, but a backend that is away then
is not waited for. How much was lost is said at last.
"""

from __future__ import annotations

from collections.abc import Callable

from amoc.base.text import counted
from amoc.results.exporters.background_task import Beside
from amoc.results.exporters.backlog import Backlog
from amoc.results.exporters.base import Warn, reason

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
TRIES_AT_END = 2


class RefusedError(Exception):
    """The backend answered that it does not want this chunk."""


class Delivery:
    """Delivers chunks in order, again and again until they are taken.

    Attributes:
        backlog: What waits.
    """

    def __init__(
        self,
        what: str,
        backlog: Backlog,
        deliver: Callable[[bytes], None],
        warn: Warn,
        unit: str = "point",
    ) -> None:
        """Begin to deliver.

        Args:
            what: What messages call the backend.
            backlog: What is to be delivered.
            deliver: Hands over a chunk, within a deadline of its own. It raises OSError where the
                backend is away, and the chunk is tried again; after any other error it is dropped.
            warn: Told what went wrong the first time, and at the end how much was lost.
            unit: What a chunk is.
        """
        self.backlog = backlog
        self._what = what
        self._deliver = deliver
        self._warn = warn
        self._unit = unit
        self._warned = False
        self._beside = Beside(self._run)

    def put(self, chunk: bytes) -> None:
        """Have `chunk` delivered."""
        self.backlog.put(chunk)
        self._beside.ring()

    def close(self, deadline_s: float) -> bool:
        """Deliver what is left, for at most `deadline_s`, and say what is missing.

        Returns:
            Whether nothing is known to be.
        """
        self._beside.close(deadline_s)
        lost, doubtful = self.backlog.missing()
        said = [f"{counted(lost, self._unit)} did not get there"] if lost else []
        if doubtful:
            said.append(f"{counted(doubtful, self._unit)} may not have got there")
        if said:
            self._warn(f"{self._what}: {', and '.join(said)}")
        return not said

    def _run(self) -> None:
        pause_s, failed_at_end = FIRST_PAUSE_S, 0
        while (chunk := self._next()) is not None:
            if self._carry(chunk):
                pause_s = FIRST_PAUSE_S
            elif not self._beside.end.wait(pause_s):
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            else:
                # The first one may be the news that an old connection is gone.
                failed_at_end += 1
                if failed_at_end == TRIES_AT_END:
                    return

    def _next(self) -> bytes | None:
        """The next chunk, as soon as there is one; None at the end."""
        while (chunk := self.backlog.take()) is None and self._beside.wait():
            pass
        return chunk

    def _carry(self, chunk: bytes) -> bool:
        """Deliver a chunk; whether the backend is there."""
        try:
            self._deliver(chunk)
        except OSError as error:
            self.backlog.again()
            self._trouble(
                f"{self._what} takes nothing: {reason(error)}; the run goes on, and the latest"
                f" {self._unit}s wait for it"
            )
            return False
        except Exception as error:  # a defect must not end the run
            self.backlog.refused()
            self._trouble(f"{self._what} refuses one of the {self._unit}s: {reason(error)}")
        else:
            self.backlog.done()
        return True

    def _trouble(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(text)
