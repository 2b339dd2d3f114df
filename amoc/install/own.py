"""The distributions in amoc's own environment. It is loaded first, so its versions are fixed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from amoc._version import VERSION
from amoc.base.errors import ScenarioError
from amoc.install.requirements import allows, name_of, normal

AMOC = "amoc"
GIVEN = frozenset({"locust"})
"""Packages that amoc replaces: a locustfile runs without the original (`amoc.locust`)."""
_EXTRAS = re.compile(r"\s*amoc\s*(?:\[([^\]]*)\])?(.*)", re.IGNORECASE)
_EXTRA_OF = re.compile(r"(.*?);\s*extra\s*==\s*['\"]([^'\"]+)['\"]\s*")
_VERSION = re.compile(r"[0-9A-Za-z.!+_-]+")


def distributions() -> dict[str, str]:
    """Return the version of each distribution that can be imported, by its name."""
    found: dict[str, str] = {}
    here = Path.cwd()
    for one in metadata.distributions():
        known = one.metadata
        if not ("Name" in known and "Version" in known):
            continue  # the remains of one that was removed
        name, version = known["Name"], known["Version"]
        # Ignore what was built in the working directory.
        in_sight = Path(str(one.locate_file(""))).resolve() == here
        if name and _VERSION.fullmatch(version) and not in_sight:
            found.setdefault(normal(name), version)  # the first one is the one imported
    return {**found, AMOC: VERSION}


def without_amoc(requirements: Iterable[str], name: str) -> Iterator[str]:
    """Yield the requirements without amoc itself, which is present; its extras are expanded.

    Args:
        requirements: All requirements.
        name: The name of their source.

    Raises:
        ScenarioError: Another version of amoc is required.
    """
    for one in requirements:
        if name_of(one) != AMOC:
            if name_of(one) not in GIVEN:
                yield one
            continue
        parts = _EXTRAS.fullmatch(one)
        extras, rest = (parts[1] or "", parts[2]) if parts else ("", one)
        if not allows(rest, VERSION):
            raise ScenarioError(f"{name} requires {one}, but this is amoc {VERSION}")
        for extra in filter(None, map(str.strip, extras.split(","))):
            yield from _extra(extra)


def _extra(extra: str) -> Iterator[str]:
    try:
        lines = metadata.requires(AMOC) or []
    except metadata.PackageNotFoundError:  # run from its source tree
        return
    for line in lines:
        found = _EXTRA_OF.fullmatch(line)
        if found and found[2] == extra:
            yield found[1].strip()
