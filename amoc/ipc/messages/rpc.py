"""Calls (scenario to controller) and their answers, in envelopes. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class Call(NamedTuple):
    """Up, in an envelope: a call from a scenario to the controller."""

    number: int
    """Assigned by the worker, to find the caller again."""
    operation: str
    arguments: Sequence[object]


class Answer(NamedTuple):
    """Down, in an envelope: the answer to a `Call`."""

    number: int
    error: str
    """Why it was refused; empty if it was not."""
    value: object


CALLS: Codec[Call] = Codec(Call)
ANSWERS: Codec[Answer] = Codec(Answer)
