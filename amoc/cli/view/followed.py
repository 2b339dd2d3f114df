"""A run of another process as a `Status`, made of the seconds that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amoc.base.json_plain import JsonObject
from amoc.control.answers import Answer
from amoc.results.merge import SampleMerger
from amoc.results.series import Point
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status


class LastSecond(SampleMerger):
    """Users as a second has them, where the run itself has its nodes' samples."""

    def __init__(self) -> None:
        super().__init__()
        self.users: Mapping[str, int] = {}

    def follow(self, users: Mapping[str, int]) -> None:
        """The next second's users."""
        self.users = users
        self.crashed, self.peak = users.get("crashed", 0), users.get("peak", 0)

    def _of(self, name: str) -> int:
        return self.users.get(name, 0)

    running = property(lambda self: self._of("running"))
    resting = property(lambda self: self._of("resting"))
    started = property(lambda self: self._of("started"))
    finished = property(lambda self: self._of("finished"))
    removed = property(lambda self: self._of("removed"))
    timed_out = property(lambda self: self._of("timed_out"))
    lost = property(lambda self: self._of("lost"))
    restarted = property(lambda self: self._of("restarted"))


@dataclass
class FollowedStatus(Status):
    """The status of a run that is followed."""

    samples: LastSecond = field(default_factory=LastSecond)

    def take(self, point: Point) -> None:
        """The run's next second."""
        self.state = State(point.state)
        self.elapsed_s = point.t_s
        self.paused_s += point.span_s if self.state is State.PAUSED else 0.0
        self.samples.follow(point.users)
        self.totals.add(point)
        self.points.append(point)

    @property
    def waiting(self) -> int:
        """Users that have not started yet, or not again."""
        return self.samples.users.get("waiting", 0)


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
