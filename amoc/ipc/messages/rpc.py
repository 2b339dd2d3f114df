"""Envelopes, and the calls and orders in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Envelope(NamedTuple):
    """Both ways: what a part of a worker and its other end say to each other.

    Whoever relays it does not open it.
    """

    part: str
    """Whose it is: a key of `PARTS`."""
    worker: int
    """Its index: the sender's on the way up, the addressee's on the way down and in mail."""
    incarnation: int
    """Which life of it; 0 means whichever there is."""
    body: bytes
    """A stream of msgpack items, see `pack_item` and `unpack_stream`."""


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
