"""Calls (scenario to controller) and orders (controller to workers), in envelopes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amoc.ipc.messages.codec import Codec


class Call(NamedTuple):
    """Up, in an envelope: a scenario asks something of the controller."""

    number: int
    """The worker's own, to find the caller again."""
    operation: str
    arguments: Sequence[Any]


class Answer(NamedTuple):
    """Down, in an envelope: what became of a `Call`."""

    number: int
    error: str
    """Why it was refused; empty when it was not."""
    value: Any


class Order(NamedTuple):
    """Down, in an envelope: a worker is to do something now, and to say when it has."""

    number: int
    """The controller's own."""
    what: str
    arguments: Mapping[str, Any]


class Done(NamedTuple):
    """Up, in an envelope: what a worker did for an `Order`."""

    number: int
    error: str
    """Why it did not; empty when it did."""
    answer: Mapping[str, Any]
    """With a ``text`` for people."""


CALLS: Codec[Call] = Codec(Call)
ANSWERS: Codec[Answer] = Codec(Answer)
ORDERS: Codec[Order] = Codec(Order)
DONE: Codec[Done] = Codec(Done)
