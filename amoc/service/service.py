"""The parts of the server, for the modules that handle requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from amoc.service.config import ServiceConfig
from amoc.service.live_series import LiveSeries
from amoc.service.runs import Runs
from amoc.service.scenarios import Scenarios
from amoc.service.uploads import Uploads, clear


@dataclass(frozen=True)
class Service:
    """The parts of the server.

    Attributes:
        config: Its configuration.
        scenarios: The scenarios that can be run.
        runs: All runs: queued, running and ended.
        uploads: Receives uploaded scenarios.
        series: The seconds of runs.
    """

    config: ServiceConfig
    scenarios: Scenarios
    runs: Runs
    uploads: Uploads
    series: LiveSeries = field(default_factory=LiveSeries)

    @classmethod
    def of(cls, config: ServiceConfig) -> Service:
        """Create the parts of a server with the given configuration."""
        scenarios = Scenarios(config.scenarios, config.uploads)
        runs = Runs(config, scenarios)
        clear(config.uploads)
        return cls(config, scenarios, runs, Uploads(scenarios, config.upload, runs.tidy))
