"""A run of another process as a `Status`, made of the seconds that it writes."""

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
        """The run's next second."""
        self.state = State(point.state)
        self.elapsed_s = point.t_s
        self.paused_s += point.span_s if self.state is State.PAUSED else 0.0
        self.totals.add(point)
        self.points.append(point)

    @property
    def users(self) -> Mapping[str, int]:
        """Users as the last second has them."""
        return Counter(self.points[-1].users if self.points else ())


@dataclass(frozen=True, kw_only=True)
class RelayedAnswer(Answer):
    """What a run of another process has answered to a command."""

    answer: JsonObject

    @classmethod
    def of(cls, answer: JsonObject) -> RelayedAnswer:
        """The answer that `answer` is as JSON."""
        return cls(summary=str(answer.get("summary", "done")), answer=answer)

    def to_json(self) -> JsonObject:
        """All of it."""
        return self.answer
