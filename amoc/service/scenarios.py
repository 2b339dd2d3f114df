"""The scenarios that can be run: the operator's, and uploaded ones.

A name is the path below the directory without ``.py``: ``chat``, ``xmpp/one_to_one``. The server
does not import scenarios. Separate processes do, to find out what they declare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from amoc.base.json_plain import JsonObject
from amoc.scenario import scenario_files
from amoc.service import sent_files
from amoc.service.isolated import answer_of
from amoc.service.problems import not_found
from amoc.service.requests import SCENARIO_NAME

MAX_LISTED = 1_000
MAX_TOLD = 10
"""Maximum number of existing names in the error for an unknown one."""
MAX_SCENARIO_BYTES = 1 << 20
_START = re.compile(
    rb"^(?:async\s+)?def\s+start\s*\(|^start\s*[:=]|^from\s.+\simport\b.*\bstart\b"
    rb"|^(?:amoc\.)?users\s*\(|^(?:from|import)\s+locust\b",
    re.MULTILINE,
)
"""Looks like a scenario. Whether it works turns out when it is loaded."""


class Scenarios:
    """Finds scenarios by name."""

    def __init__(self, own: Path, uploads: Path) -> None:
        """Search in `own` and `uploads`.

        Args:
            own: Directory of the operator's scenarios.
            uploads: Directory of uploaded scenarios, whose names must not occur in `own`.
        """
        self.own = own
        self.uploads = uploads

    def names(self) -> list[str]:
        """Return all names, sorted."""
        found: set[str] = set()
        for name, path in self._all():
            if re.fullmatch(SCENARIO_NAME, name) and _is_scenario(path):
                found.add(name)
                if len(found) >= MAX_LISTED:
                    break
        return sorted(found)

    def _all(self) -> Iterator[tuple[str, Path]]:
        """Yield Python files, with the names that they would have as scenarios."""
        for base in (self.own, self.uploads):
            for path in _files(base):
                yield path.relative_to(base).with_suffix("").as_posix(), path
        for name, place in sent_files.links(self.uploads):
            for path in _files(place):
                inside = path.relative_to(place).with_suffix("").as_posix()
                yield name if inside == name else f"{name}/{inside}", path

    def find(self, name: str) -> Path:
        """Return the file of the scenario `name`.

        Raises:
            Problem: There is no such scenario.
        """
        if re.fullmatch(SCENARIO_NAME, name):
            last = name.rpartition("/")[2]
            for path in (
                self.own / f"{name}.py",
                self.uploads / f"{name}.py",
                self.uploads / name / f"{last}.py",  # from an archive
            ):
                base = self.uploads if path.is_relative_to(self.uploads) else self.own
                if path.is_file() and path.resolve().is_relative_to(base.resolve()):
                    return path.resolve()
        names = self.names()
        there = " ".join(names[:MAX_TOLD]) + (" …" if len(names) > MAX_TOLD else "")
        raise not_found("scenario", name, "scenario", f"; there are: {there}" if names else "")

    def target(self, scenarios: str) -> Path:
        """Return the file of a scenario, or several with their loads in the syntax of ``amoc run``.

        Raises:
            Problem: There is no such scenario.
        """
        parts = scenario_files.parts_of(scenarios)
        if not parts:
            return self.find(scenarios)
        files = [one._replace(source=str(self.find(one.source))) for one in parts]
        return Path(scenario_files.text_of(files))

    def describe(self, name: str, *asked: str) -> JsonObject:
        """Return the description of a scenario; for `asked` see `amoc.service.describe`.

        Raises:
            Problem: There is no such scenario.
            AmocError: It cannot be loaded.
        """
        return {"name": name, **answer_of("describe", str(self.find(name)), *asked)}


def _files(base: Path) -> Iterator[Path]:
    """Yield Python files below `base`, except hidden ones and links."""
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return
    for path in entries:
        if path.name.startswith((".", "_")) or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix == ".py":
            yield path


def _is_scenario(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _START.search(file.read(MAX_SCENARIO_BYTES)) is not None
    except OSError:
        return False
