"""The limits of health metrics, and how close a worker is to them. Pure."""

from typing import NamedTuple

from amoc.metrics.health_figures import WORKER, WorkerPoint, share


class Limits(NamedTuple):
    """How much is too much in a second, and how long is too long.

    Attributes:
        lag_s: Event loop lag of a worker. Throttle slots that are this late are void, and so is
            what a user measures.
        late_s: How late users may pass throttles, as a 99th percentile.
        gc: Share of the time in garbage collection pauses.
        cpu: Share of a core used by a worker. At 90 %, work that arrives at random waits nine times
            as long as it takes.
        cpu_wait: Share of the time that a worker is ready to run and waits for a CPU.
        busy: The sum of `cpu` and `cpu_wait`: above this, the worker is never idle.
        fds: Share of a worker's file descriptors that are open.
        ports: Share of the ephemeral ports in use from one address to one destination.
        memory: Share of a host's memory in use, without its page cache.
        missed: Share of a throttle's slots that are void because they were late.
        restarted: Share of the running users that are started again in a second because their
            worker has died.
        silent_s: Time without a sample from a node, which sends one each second.
        controller_cpu: Share of a core used by the controller.
        controller_lag_s: Event loop lag of the controller, which deals throttle slots a tenth of a
            second ahead.
        least_s: Seconds past a limit below which they do not count.
        least_share: The same as a share of all seconds.
        in_a_row_s: Seconds in a row that always count.
        reported_s: Seconds in a row after which the operator is warned.
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
    reported_s: float = 3.0


LIMITS = Limits()
_OF_WORKERS: list[tuple[str, float]] = [
    (name, getattr(LIMITS, one.limit)) for name, one in WORKER.items() if one.limit
]


def strain(worker: WorkerPoint) -> float:
    """Return how close a worker is to its limits in a second: from 1 on it is past one of them."""
    busy = (worker.cpu + worker.cpu_wait_s) / LIMITS.busy
    return max([busy, *(share(worker, name) / limit for name, limit in _OF_WORKERS)])
