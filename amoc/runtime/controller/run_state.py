"""The state of a run as a table: what is not in it cannot happen. Pure."""

from __future__ import annotations

from enum import Enum

from amoc.base.errors import ClosedError


class State(Enum):
    """Where a run stands; the value is the word shown to people."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


class Step(Enum):
    """What moves a run on."""

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
    (State.IDLE, Step.FAIL): State.FAILED,
    (State.STARTING, Step.FAIL): State.FAILED,
    (State.RUNNING, Step.FAIL): State.FAILED,
    (State.PAUSED, Step.FAIL): State.FAILED,
    (State.STOPPING, Step.FAIL): State.FAILED,
}


def after(state: State, step: Step) -> State:
    """The state that `step` leads to from `state`.

    Raises:
        ClosedError: That is not possible; both are named.
    """
    try:
        return NEXT[state, step]
    except KeyError:
        raise ClosedError(f"a run that is {state.value} cannot {step.value}") from None
