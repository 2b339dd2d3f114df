"""All that the server is made of, for the modules that answer requests."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from amoc.service.config import ServiceConfig
from amoc.service.live_series import LiveSeries
from amoc.service.runs import Runs
from amoc.service.scenarios import Scenarios
from amoc.service.uploads import Uploads, clear


@dataclass(frozen=True)
class Service:
    """The server's parts.

    Attributes:
        config: What it was told at its start.
        scenarios: What can be run.
        runs: What runs, ran, and is to run.
        uploads: Takes scenarios that clients send.
        series: The seconds of runs.
        began_at: When it started, in seconds since 1970.
    """

    config: ServiceConfig
    scenarios: Scenarios
    runs: Runs
    uploads: Uploads
    series: LiveSeries = field(default_factory=LiveSeries)
    began_at: float = field(default_factory=time.time)

    @classmethod
    def of(cls, config: ServiceConfig) -> Service:
        """The parts of a server that is told `config`."""
        scenarios = Scenarios(config.scenarios, config.uploads)
        runs = Runs(
            config.runs, config.parallel, scenarios, config.keep, config.keep_days, config.cluster
        )
        clear(config.uploads)
        return cls(config, scenarios, runs, Uploads(scenarios, config.upload, runs.tidy))
