"""The calls (`amoc.ipc.rpc`) that scenarios make about throttles, carried out by the pacer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from amoc.base.errors import ScenarioError
from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.throttle import Throttle

if TYPE_CHECKING:
    from amoc.throttle.controller import Pacer

OWN = ("user_rate",)
"""Throttles that a run cannot do without."""

Operation = Callable[..., object]


def operations(pacer: Pacer) -> dict[str, Operation]:
    """Return the calls that `pacer` carries out, for `amoc.ipc.rpc.RpcServer`."""

    def start(_: WorkerId | None, name: str, shape: object, interval_s: float) -> list[object]:
        """Start it unless it runs already with these arguments.

        Returns:
            Whether it is new, and its packed state for the calling worker.
        """
        is_new = pacer.start_once(name, shape, interval_s)
        return [is_new, pacer.packed_state(name)]

    def change_shape(
        _: WorkerId | None,
        name: str,
        shape: list[object],
        interval_s: float | None,
        wait: bool = False,
    ) -> Later | None:
        pacer.change_shape(name, shape, interval_s)
        return pacer.when_in_force(name) if wait else None

    def change_rate(
        _: WorkerId | None, name: str, rate: float, interval_s: float | None, wait: bool = False
    ) -> Later | None:
        return change_shape(_, name, ["constant", rate], interval_s, wait)

    def overlay(act: Callable[[Throttle[WorkerId], int], bool]) -> Operation:
        def operation(_: WorkerId | None, name: str, wait: bool = False) -> Later | None:
            pacer.change(name, act)
            return pacer.when_in_force(name) if wait else None

        return operation

    def stop(_: WorkerId | None, name: str) -> None:
        if name in OWN or pacer.find(name).every:
            raise ScenarioError(f"throttle {name} is amoc's own and cannot be stopped; pause it")
        pacer.stop(name)

    return {
        "throttle.start": start,
        "throttle.change_rate": change_rate,
        "throttle.change_shape": change_shape,
        "throttle.pause": overlay(Throttle.pause),
        "throttle.resume": overlay(Throttle.resume),
        "throttle.unlock": overlay(Throttle.unlock),
        "throttle.stop": stop,
        "throttle.state": lambda _, name: list(pacer.state(name)),
        "throttle.find": lambda _, name: pacer.packed_state(name),
    }
