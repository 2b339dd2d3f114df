"""Plugins: installed packages that subscribe to the events of runs.

A package declares one as an entry point of the group ``amoc.plugins``:

    [options.entry_points]
    amoc.plugins =
        probe = our_probe.amoc_plugin

Its target is imported in the controller and in the supervisor, before the scenario. Subscribers it
adds to `amoc.events` are called there and in the workers, which inherit them through the fork. If
the target is a function, it is called once in each of the two processes, with the process's role.

A plugin that cannot be loaded stops the run before it begins; otherwise a missing probe would be
noticed only at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from amoc.base import entry_points, guard
from amoc.base.errors import AmocError, UsageError
from amoc.base.tracebacks import describe

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "amoc.plugins"
ROLES = ("controller", "supervisor")
"""The processes in which plugins are loaded."""

_log = logging.getLogger(__name__)


class Plugin(NamedTuple):
    """An installed plugin."""

    name: str
    target: str
    """The target of its entry point: ``package.module`` or ``package.module:function``."""
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


def load(role: str, installed: Iterable[EntryPoint] | None = None) -> Sequence[Plugin]:
    """Load all plugins in this process and return them sorted by name.

    Args:
        role: The role of this process, one of `ROLES`.
        installed: Entry points to use instead of the installed ones.

    Raises:
        UsageError: A plugin cannot be loaded.
    """
    entries = entry_points.of_group(GROUP) if installed is None else installed
    plugins = []
    for entry in sorted(entries, key=lambda one: (one.name, one.value)):
        plugin = _described(entry)
        _load(entry, plugin, role)
        _log.info("plugin %s is loaded", plugin, extra={"target": plugin.target})
        plugins.append(plugin)
    return plugins


def _described(entry: EntryPoint) -> Plugin:
    distribution = entry.dist
    if distribution is None:
        return Plugin(entry.name, entry.value, "no distribution", "")
    return Plugin(entry.name, entry.value, distribution.name, distribution.version)


def _load(entry: EntryPoint, plugin: Plugin, role: str) -> None:
    def refuse(error: BaseException) -> NoReturn:
        why = str(error) if isinstance(error, AmocError) else describe(error)
        raise UsageError(
            f"plugin {plugin} cannot be loaded in its entry point {plugin.target}: {why}"
        ) from error

    def set_up() -> None:
        found = entry.load()
        if isinstance(found, ModuleType):
            return
        if not callable(found):
            raise TypeError(f"{entry.value} must be a module or a function, got {found!r}")
        found(role)

    guard.call(refuse, set_up)
