"""Delivery of the controller's events to the scenario's subscribers in the workers. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class ControllerEvent(NamedTuple):
    """Down, in an envelope: an event emitted in the controller."""

    name: str
    at_ns: int
    data: Mapping[str, object]


EVENTS: Codec[ControllerEvent] = Codec(ControllerEvent)
