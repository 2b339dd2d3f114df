"""Facts about the run's plan that scenario code may read. Pure."""

from typing import NamedTuple


class RunFacts(NamedTuple):
    """The part of the plan that scenarios may read."""

    users: range = range(1, 2)
    """Ids of the users at the start."""
    duration_s: float | None = None
    """When users are asked to finish; None means the run ends when all have left."""
    scenario: str = ""
    """The file of the scenario being imported, if several run together."""
    is_part: bool = False
    """Whether several scenarios run together; then only the length of `users` applies to this one,
    not the ids."""
