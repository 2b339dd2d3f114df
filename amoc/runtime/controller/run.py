"""What all parts of the controller know of a run."""

from __future__ import annotations

from typing import NamedTuple

from amoc.base.operator_log import OperatorLog
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.run_results import RunResults
from amoc.runtime.controller.status import Status
from amoc.scenario.run_plan import RunPlan


class Run(NamedTuple):
    """A run.

    Attributes:
        plan: What is run.
        status: Its state.
        files: Its files, with the journal.
        results: Measures and judges it.
        operator: Told what people should read.
    """

    plan: RunPlan
    status: Status
    files: RunFiles
    results: RunResults
    operator: OperatorLog
