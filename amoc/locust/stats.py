"""Statistics of the run for locustfiles: ``environment.stats``.

They cover the whole run, in every worker. In Locust workers only have their own statistics.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from amoc.base.clock import now_ns
from amoc.locust.exceptions import Carried
from amoc.metrics.area import Metric
from amoc.metrics.histogram import Histogram
from amoc.metrics.step_names import AGGREGATED, BYTES, COUNT, FAILURES, steps_in


class _Values(NamedTuple):
    """Metrics by name, each the sum over all areas."""

    counts: Counter[str]
    times: defaultdict[str, Histogram]


class StatsEntry(Carried):
    """Statistics of the requests of one name, or of all requests; times in milliseconds.

    Attributes:
        method, name: Method and name of the requests.
        num_requests: Number of requests.
        num_failures: Number of failed requests.
    """

    _called = "stats"

    def __init__(self, method: str, name: str, values: _Values, seconds: float) -> None:
        """Take the figures of a step from metric values by name."""
        step = f"{method} {name}".strip()
        self.method = method
        self.name = name
        self.num_requests = values.counts[step + COUNT]
        self.num_failures = values.counts[step + FAILURES]
        self.total_content_length = values.counts[step + BYTES]
        self._times = values.times[step]
        self._seconds = seconds

    @property
    def fail_ratio(self) -> float:
        """Share of failed requests, from 0 to 1."""
        return self.num_failures / self.num_requests if self.num_requests else 0.0

    @property
    def avg_response_time(self) -> float:
        """Mean time of successful requests."""
        return self._times.mean_s * 1000

    @property
    def median_response_time(self) -> float:
        """Median time of successful requests."""
        return self.get_response_time_percentile(0.5)

    @property
    def max_response_time(self) -> float:
        """Maximum time of successful requests."""
        return self._times.max_ns / 1e6

    @property
    def total_rps(self) -> float:
        """Requests per second since the start of the run."""
        return self.num_requests / self._seconds if self._seconds else 0.0

    @property
    def total_fail_per_sec(self) -> float:
        """Failures per second since the start of the run."""
        return self.num_failures / self._seconds if self._seconds else 0.0

    def get_response_time_percentile(self, percent: float) -> float:
        """Return a percentile of the times, given as a share such as 0.95."""
        return self._times.quantiles_s(percent)[0] * 1000


class RequestStats(Carried):
    """Statistics of requests by name, and of all requests. Each access reads current values."""

    _called = "stats"

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Use these metrics.

        Args:
            read: Returns all metrics, of every worker to include.
        """
        self._read = read
        self.begin()

    def begin(self) -> None:
        """Start the time that rates refer to."""
        self._begun_ns = now_ns()

    @property
    def total(self) -> StatsEntry:
        """Statistics of all requests."""
        return self._entry("", AGGREGATED, self._values())

    @property
    def entries(self) -> dict[tuple[str, str], StatsEntry]:
        """Statistics by name and method."""
        values = self._values()
        found = {}
        for step in steps_in({*values.counts, *values.times}):
            method, _, name = step.partition(" ")
            if step != AGGREGATED:
                found[name, method] = self._entry(method, name, values)
        return found

    @property
    def num_requests(self) -> int:
        """Number of requests."""
        return self.total.num_requests

    @property
    def num_failures(self) -> int:
        """Number of failed requests."""
        return self.total.num_failures

    def get(self, name: str, method: str) -> StatsEntry:
        """Return the statistics of one request."""
        return self._entry(method, name, self._values())

    def _entry(self, method: str, name: str, values: _Values) -> StatsEntry:
        return StatsEntry(method, name, values, (now_ns() - self._begun_ns) / 1e9)

    def _values(self) -> _Values:
        found = _Values(Counter(), defaultdict(Histogram))
        for metric in self._read():
            value = metric.value
            if isinstance(value, Histogram):
                found.times[metric.name].add(value.cells, value.max_ns)
            elif isinstance(value, int):
                found.counts[metric.name] += value
        return found
