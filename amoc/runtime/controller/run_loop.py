"""The loop while users run: it deals them until the plan is done or the run is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gevent

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError
from amoc.base.ticks import to_next_tick_s
from amoc.control.answers import Answer
from amoc.control.commands import Command, checked
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.run import Run
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.services import Services

DEAL_S = 0.02
IDLE_S = 1.0
"""About how long it waits when only a ring or the end of the run can require something."""


class RunLoop:
    """Deals users, follows stages, and carries out the commands of a replayed run."""

    def __init__(
        self, run: Run, services: Services, nodes: Nodes, operate: Callable[[Command, str], Answer]
    ) -> None:
        """Create the loop; `operate` carries out a command."""
        self._run = run
        self._services = services
        self._nodes = nodes
        self._operate = operate

    def run(self, begun_ns: int, interrupted: Callable[[], bool]) -> str:
        """Run from `begun_ns` to the end; return ``ok``, or ``stopped`` if the operator ended it.

        Raises:
            AmocError: The run cannot go on.
        """
        ended = self._deal_users(begun_ns, interrupted)
        arrivals, duration_s = self._services.arrivals, self._run.plan.duration_s
        if arrivals is not None:
            now = now_ns()
            by_plan = duration_s is not None and arrivals.is_over(duration_s, now)
            self._run.results.due = arrivals.end(duration_s if by_plan else None, now)
        return ended

    def _deal_users(self, begun_ns: int, interrupted: Callable[[], bool]) -> str:
        plan, services = self._run.plan, self._services
        timeline = sorted(plan.timeline, key=lambda one: one[0])
        while not (interrupted() or services.commands.stop_asked):
            self._nodes.check()
            if aborted := self._run.results.aborted:
                self._run.operator.error(aborted)
                return "ok"
            now = now_ns()
            while timeline and (now - begun_ns) / S_NS >= timeline[0][0]:
                _, name, arguments = timeline.pop(0)
                gevent.spawn(self._replay, name, arguments)
            run_ns = now - begun_ns - pause.clock.paused_ns()
            if plan.duration_s is not None and self._is_over(plan.duration_s, run_ns, now):
                return "ok"
            if self._run.status.state is State.RUNNING:
                services.stages.follow(run_ns, now - run_ns)
                services.deal(now)
                if (
                    plan.duration_s is None
                    and services.stages.done
                    and not timeline
                    and services.arrivals is None
                    and services.all_left()
                ):
                    return "ok"
            busy = bool(plan.own_starts or timeline or services.starts.waiting())
            self._nodes.wait(DEAL_S if busy else self._idle_s(run_ns))
        return "stopped"

    def _is_over(self, duration_s: float, run_ns: int, now: int) -> bool:
        if self._services.arrivals is not None:
            return self._services.arrivals.is_over(duration_s, now)
        return run_ns >= duration_s * S_NS

    def _idle_s(self, run_ns: int) -> float:
        """Return how long to wait when there is no user to start."""
        duration_s, idle_s = self._run.plan.duration_s, to_next_tick_s(IDLE_S)
        if duration_s is None:
            return idle_s
        return min(idle_s, max(duration_s - run_ns / S_NS, DEAL_S))

    def _replay(self, name: str, arguments: Mapping[str, object]) -> None:
        """Repeat a command of the run that is being replayed."""
        try:
            answer = self._operate(checked(name, arguments), "replay")
        except AmocError as refused:
            self._run.operator.warning(f"replayed {name}: {refused}")
        else:
            self._run.operator.info(f"replayed {name}: {answer.summary}")
