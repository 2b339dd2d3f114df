"""What is too much of a health metric, and how near a worker is to that. Pure."""

from typing import NamedTuple

from amoc.metrics.health_figures import WORKER, WorkerPoint, share


class Limits(NamedTuple):
    """What is too much in a second, and how long is too long.

    Attributes:
        lag_s: How late a worker's loop may turn. Slots of throttles are void when they are that
            late, and so is what a user measures.
        late_s: How late users may pass throttles, as a 99th percentile.
        gc: Share of the time that may go into pauses of the garbage collector.
        cpu: Share of a core that a worker may use. At 90 %, what comes at random waits nine times
            as long as it takes.
        cpu_wait: Share of the time that a worker may be ready to run and wait for a CPU.
        busy: Share of the time that it may do either: beyond that it never has nothing to do.
        fds: Share of its file descriptors that a worker may have open.
        ports: Share of the ephemeral ports that may be in use from one address to one destination.
        memory: Share of its memory that a host may have in use, its page cache aside.
        missed: Share of a throttle's slots that may be void because they were late.
        restarted: Share of the running users that may be started again in a second because their
            worker has died.
        silent_s: How long nothing may come from a node; it says how it is each second.
        controller_cpu: Share of a core that the controller may use.
        controller_lag_s: How late the controller's loop may turn. It deals slots of throttles a
            tenth of a second ahead.
        least_s: Seconds past a limit that are too few to count.
        least_share: The same as a share of all seconds.
        in_a_row_s: Seconds in a row that always count.
        spoken_s: Seconds in a row after which the operator is told.
    """

    lag_s: float = 0.1
    late_s: float = 0.1
    gc: float = 0.1
    cpu: float = 0.9
    cpu_wait: float = 0.8
    busy: float = 0.95
    fds: float = 0.98
    ports: float = 0.95
    memory: float = 0.97
    missed: float = 0.05
    restarted: float = 0.05
    silent_s: float = 1.2
    controller_cpu: float = 0.95
    controller_lag_s: float = 0.1
    least_s: float = 5.0
    least_share: float = 0.05
    in_a_row_s: float = 10.0
    spoken_s: float = 3.0


LIMITS = Limits()
_OF_WORKERS: list[tuple[str, float]] = [
    (name, getattr(LIMITS, one.limit)) for name, one in WORKER.items() if one.limit
]


def strain(worker: WorkerPoint) -> float:
    """How near a worker is to its limits in a second: 1 and more is past one of them."""
    busy = (worker.cpu + worker.cpu_wait_s) / LIMITS.busy
    return max([busy, *(share(worker, name) / limit for name, limit in _OF_WORKERS)])
