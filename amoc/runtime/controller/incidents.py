"""What went wrong with users, told once for each cause: crashes, and lines that block a worker.

Counts of crashes are on the board; what is kept here is one sample of each cause. Of lines that
block a worker the counts come with the reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from amoc.base.clock import S_NS
from amoc.ipc.messages import Blocked, CrashSeen
from amoc.runtime.stall_causes import MAX_PLACES, OTHERS, sentence_of


class Write(Protocol):
    """Writes a line of the journal."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """Write `fields` as a line of a kind."""


@dataclass
class _Place:
    """How often and for how long a line has blocked its worker."""

    times: int = 0
    total_ns: int = 0
    longest_ns: int = 0
    trace: str = ""


class Incidents:
    """Keeps and tells what went wrong."""

    def __init__(self, write: Write, say: Callable[[str, str], None]) -> None:
        """Write to the journal with `write`; `say` takes a level and a line for the operator."""
        self._write = write
        self._say = say
        self._crashes: dict[str, CrashSeen] = {}
        self._places: dict[str, _Place] = {}

    def crashed(self, crash: CrashSeen) -> None:
        """A worker has seen a cause for the first time."""
        if crash.cause in self._crashes:
            return
        self._crashes[crash.cause] = crash
        self._write("crash", cause=crash.cause, user_id=crash.user_id, traceback=crash.traceback)
        who = f"user {crash.user_id}" if crash.user_id else "what a user had begun"
        # The cause has # for numbers; whoever looks here first wants to know them.
        place = crash.cause[crash.cause.rfind(" (") :] if crash.cause.endswith(")") else ""
        text = (crash.traceback.strip().splitlines() or [crash.cause])[-1]
        self._say("error", f"{who} crashed, the first with this cause: {text}{place}")
        self._say("trace", crash.traceback)

    def blocked(self, one: Blocked) -> None:
        """A line of the scenario has kept a worker from turning its loop."""
        new = one.place not in self._places
        if new and len(self._places) >= MAX_PLACES:
            one = one._replace(place=OTHERS, trace="")
            new = OTHERS not in self._places
        place = self._places.setdefault(one.place, _Place())
        place.times += one.times
        place.total_ns += one.total_ns
        place.longest_ns = max(place.longest_ns, one.longest_ns)
        place.trace = place.trace or one.trace
        self._write("blocked", **one._asdict())
        if new:
            self._say("warning", sentence_of(one))
            if one.trace:
                self._say("trace", one.trace)

    def crashes(self, counts: Mapping[str, int]) -> list[dict[str, Any]]:
        """The part of the summary about crashes, of their `counts` by cause."""
        return [
            {"cause": cause, "count": count, **self._sample(cause)}
            for cause, count in counts.items()
        ]

    def _sample(self, cause: str) -> dict[str, Any]:
        seen = self._crashes.get(cause)
        return {
            "user_id": seen.user_id if seen is not None else 0,
            "traceback": seen.traceback if seen is not None else "",
        }

    def places(self) -> list[dict[str, Any]]:
        """The part of the summary about lines that have blocked, the worst first."""
        worst = sorted(self._places.items(), key=lambda item: -item[1].total_ns)
        return [
            {
                "place": name,
                "times": place.times,
                "total_s": round(place.total_ns / S_NS, 3),
                "longest_s": round(place.longest_ns / S_NS, 3),
                "trace": place.trace,
            }
            for name, place in worst
        ]
