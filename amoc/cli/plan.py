"""``amoc plan``: load a scenario, as ``amoc check`` does, and show what its run would do when."""

from __future__ import annotations

import json

from rich.text import Text

from amoc.base import process
from amoc.cli import preview
from amoc.cli.check import Checked
from amoc.cli.view import preview_table
from amoc.cli.view.console import console as make_console
from amoc.scenario import builtin_settings, fd_budget, settings
from amoc.scenario.run_plan import RunPlan


def show(plan: RunPlan, as_json: bool) -> None:
    """Load the plan's scenario and print what would happen.

    Raises:
        AmocError: What `amoc run` would refuse to start with.
    """
    console = make_console(patient=False)
    found = preview.forecast(plan, _host(plan))
    if as_json:
        console.print(Text(json.dumps(found, indent=1)), soft_wrap=True)
        return
    for part in preview_table.parts(found):
        console.print(part)


def _host(plan: RunPlan) -> preview.Host:
    checked = Checked(plan.scenario, plan.sources)
    return preview.Host(
        name=checked.scenario.name,
        settings=[
            {
                "name": one.name,
                "value": settings.as_text(one.name, checked.values[one.name]),
                "from": checked.values[one.name].source,
            }
            for one in checked.declared
        ],
        workers=builtin_settings.workers.get(),
        interarrival_ms=builtin_settings.interarrival.get(),
        user_rate=builtin_settings.user_rate.get(),
        repeat_num=builtin_settings.repeat_num.get(),
        repeat_interval_s=builtin_settings.repeat_interval.get() / 1000,
        fds_per_user=fd_budget.fds_per_user(),
        fd_limit=process.raise_fd_limit(),
        has_init=hasattr(checked.scenario.module, "init"),
    )
