"""Calls (scenario to controller) and their answers, in envelopes. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class Call(NamedTuple):
    """Up, in an envelope: a scenario asks something of the controller."""

    number: int
    """The worker's own, to find the caller again."""
    operation: str
    arguments: Sequence[object]


class Answer(NamedTuple):
    """Down, in an envelope: what became of a `Call`."""

    number: int
    error: str
    """Why it was refused; empty when it was not."""
    value: object


CALLS: Codec[Call] = Codec(Call)
ANSWERS: Codec[Answer] = Codec(Answer)
