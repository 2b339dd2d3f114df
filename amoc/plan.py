"""``amoc plan``: load a scenario, as ``amoc check`` does, and show what its run would do when."""

from __future__ import annotations

import json

from rich.text import Text

from amoc import limits, own_settings, planning, settings
from amoc.check import Checked
from amoc.engine import process
from amoc.engine.run import RunPlan
from amoc.view import forecast
from amoc.view.console import console as make_console


def show(plan: RunPlan, as_json: bool) -> None:
    """Load the plan's scenario and print what would happen.

    Raises:
        AmocError: What `amoc run` would refuse to start with.
    """
    console = make_console(patient=False)
    found = planning.forecast(plan, _host(plan))
    if as_json:
        console.print(Text(json.dumps(found, indent=1)), soft_wrap=True)
        return
    for part in forecast.parts(found):
        console.print(part)


def _host(plan: RunPlan) -> planning.Host:
    checked = Checked(plan.scenario, plan.sources)
    return planning.Host(
        name=checked.scenario.name,
        settings=[
            {
                "name": one.name,
                "value": settings.as_text(one.name, checked.values[one.name]),
                "from": checked.values[one.name].source,
            }
            for one in checked.declared
        ],
        workers=own_settings.workers.get(),
        interarrival_ms=own_settings.interarrival.get(),
        user_rate=own_settings.user_rate.get(),
        repeat_num=own_settings.repeat_num.get(),
        repeat_interval_s=own_settings.repeat_interval.get() / 1000,
        fds_per_user=limits.fds_per_user(),
        fd_limit=process.raise_fd_limit(),
        has_init=hasattr(checked.scenario.module, "init"),
    )
