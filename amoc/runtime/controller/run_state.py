"""The states of a run and its transitions as a table: any other transition is an error. Pure."""

from __future__ import annotations

from enum import Enum

from amoc.base.errors import ClosedError


class State(Enum):
    """The state of a run; the value is shown to people."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


class Step(Enum):
    """The steps that change a run's state."""

    LAUNCH = "launch"
    READY = "ready"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    ALL_LEFT = "all left"
    FAIL = "fail"


NEXT = {
    (State.IDLE, Step.LAUNCH): State.STARTING,
    (State.STARTING, Step.READY): State.RUNNING,
    (State.RUNNING, Step.PAUSE): State.PAUSED,
    (State.PAUSED, Step.RESUME): State.RUNNING,
    (State.RUNNING, Step.STOP): State.STOPPING,
    (State.PAUSED, Step.STOP): State.STOPPING,
    (State.STOPPING, Step.ALL_LEFT): State.FINISHED,
    **{(state, Step.FAIL): State.FAILED for state in {*State} - {State.FINISHED, State.FAILED}},
}


def after(state: State, step: Step) -> State:
    """Return the state that `step` leads to from `state`.

    Raises:
        ClosedError: There is no such transition; both are named.
    """
    try:
        return NEXT[state, step]
    except KeyError:
        raise ClosedError(f"a run that is {state.value} cannot {step.value}") from None
