"""The `Status` of another process's run, from the seconds that it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from amoc.base.json_plain import JsonObject
from amoc.control.answers import Answer
from amoc.results.series import Point
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status


@dataclass
class FollowedStatus(Status):
    """The status of a run that is followed."""

    def take(self, point: Point) -> None:
        """Add the next second of the run."""
        self.state = State(point.state)
        self.elapsed_s = point.t_s
        self.paused_s += point.span_s if self.state is State.PAUSED else 0.0
        self.totals.add(point)
        self.points.append(point)

    @property
    def users(self) -> Mapping[str, int]:
        """Users as of the last second."""
        return Counter(self.points[-1].users if self.points else ())


@dataclass(frozen=True, kw_only=True)
class RelayedAnswer(Answer):
    """The answer of another process's run to a command."""

    answer: JsonObject

    @classmethod
    def of(cls, answer: JsonObject) -> RelayedAnswer:
        """Create the answer from JSON."""
        return cls(summary=str(answer.get("summary", "done")), answer=answer)

    def to_json(self) -> JsonObject:
        """Return the whole answer."""
        return self.answer
