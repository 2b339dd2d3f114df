"""Placement rules of installed packages, in addition to those of `amoc.users.placement`.

A package provides one as an entry point of the group ``amoc.placements``:

    [options.entry_points]
    amoc.placements =
        by-region = our_placements:by_region

It is a function of the nodes, a sequence of `NodeFacts`, and of the planned ids. It returns a list
of indices into the nodes: the first id goes to the first of these nodes, the second id to the
second, and so on, repeating from the start. It is called once, in the controller, before any user
starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from amoc.base import entry_points, guard
from amoc.base.errors import AmocError, UsageError, value_error_as
from amoc.base.text import cut
from amoc.base.tracebacks import describe
from amoc.users.placement import MAX_TABLE, RULES

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "amoc.placements"


class NodeFacts(NamedTuple):
    """A node that can have users.

    Attributes:
        name: Such as ``node0``.
        host: The host it runs on.
        workers: The number of its workers.
        cores: The number of CPU cores it may use.
    """

    name: str
    host: str
    workers: int
    cores: int


Strategy = Callable[[Sequence[NodeFacts], range], Sequence[int]]


def installed() -> dict[str, EntryPoint]:
    """Return the placements of installed packages by name."""
    return {one.name: one for one in entry_points.of_group(GROUP) if one.name not in RULES}


def checked(name: str) -> str:
    """Return `name` if there is such a placement.

    Raises:
        ValueError: There is none; the message continues the option's name.
    """
    if name in RULES or name in (known := installed()):
        return name
    raise ValueError(f"must be one of {', '.join([*RULES, *sorted(known)])}, got {name!r}")


def seats(name: str, nodes: Sequence[NodeFacts], ids: range) -> list[int]:
    """Return the node of each id, as an index into `nodes`, by the installed placement `name`.

    Raises:
        UsageError: It is not installed, cannot be loaded, or returns an invalid result.
    """
    with value_error_as(UsageError, "--placement "):
        entry = installed()[checked(name)]
    made: list[int] = []

    def refuse(error: BaseException) -> NoReturn:
        why = str(error) if isinstance(error, AmocError) else describe(error)
        raise UsageError(f"placement {name} ({entry.value}) failed: {why}") from error

    def ask() -> None:
        strategy: Strategy = entry.load()
        made.extend(strategy(nodes, ids))

    guard.call(refuse, ask)
    if not 0 < len(made) <= MAX_TABLE or not all(
        type(one) is int and 0 <= one < len(nodes) for one in made
    ):
        raise UsageError(
            f"placement {name} ({entry.value}) must return 1 to {MAX_TABLE} numbers from 0 to"
            f" {len(nodes) - 1}, got {cut(made)}"
        )
    return made
