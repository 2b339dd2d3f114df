"""What code of a scenario may be told of the plan of its run. Pure."""

from typing import NamedTuple


class RunFacts(NamedTuple):
    """The plan, as far as users can be told of it."""

    users: range = range(1, 2)
    """Ids of the users at the start."""
    duration_s: float | None = None
    """When they are asked to finish; None: when all have left by themselves."""
    scenario: str = ""
    """The file of the scenario that is being imported, where others run beside it."""
    is_part: bool = False
    """Whether other scenarios run beside this one; then `users` counts those of this one, whose ids
    are others."""
