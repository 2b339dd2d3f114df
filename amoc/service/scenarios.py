"""The scenarios that can be run: the operator's, and those that were uploaded.

A name is the path below its directory without ``.py``: ``chat``, ``xmpp/one_to_one``. The server
imports none of them: what one declares is found out by a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from amoc.scenario import scenario_files
from amoc.service import sent_files
from amoc.service.isolated import describe
from amoc.service.problems import not_found
from amoc.service.requests import SCENARIO_NAME

MAX_LISTED = 1_000
MAX_TOLD = 10
"""Names that are told to somebody who asked for another one."""
MAX_SCENARIO_BYTES = 1 << 20
_START = re.compile(
    rb"^(?:async\s+)?def\s+start\s*\(|^start\s*[:=]|^from\s.+\simport\b.*\bstart\b"
    rb"|^(?:amoc\.)?users\s*\(|^(?:from|import)\s+locust\b",
    re.MULTILINE,
)
"""What a file has that is a scenario; whether it works is found out when it is loaded."""


class Scenarios:
    """Finds scenarios by name."""

    def __init__(self, own: Path, uploads: Path) -> None:
        """Look in `own`, and in `uploads`.

        Args:
            own: The operator's.
            uploads: Where uploaded ones are; they cannot have a name of `own`.
        """
        self.own = own
        self.uploads = uploads

    def names(self) -> list[str]:
        """All names, in order."""
        found: set[str] = set()
        for name, path in self._all():
            if re.fullmatch(SCENARIO_NAME, name) and _is_scenario(path):
                found.add(name)
                if len(found) >= MAX_LISTED:
                    break
        return sorted(found)

    def _all(self) -> Iterator[tuple[str, Path]]:
        """Python files by the names that they may have."""
        for base in (self.own, self.uploads):
            for path in _files(base):
                yield path.relative_to(base).with_suffix("").as_posix(), path
        for name, place in sent_files.links(self.uploads):
            for path in _files(place):
                inside = path.relative_to(place).with_suffix("").as_posix()
                yield name if inside == name else f"{name}/{inside}", path

    def find(self, name: str) -> Path:
        """The file of the scenario `name`.

        Raises:
            Problem: There is none.
        """
        if re.fullmatch(SCENARIO_NAME, name):
            last = name.rpartition("/")[2]
            for path in (
                self.own / f"{name}.py",
                self.uploads / f"{name}.py",
                self.uploads / name / f"{last}.py",  # of an archive
            ):
                base = self.uploads if path.is_relative_to(self.uploads) else self.own
                if path.is_file() and path.resolve().is_relative_to(base.resolve()):
                    return path.resolve()
        names = self.names()
        there = " ".join(names[:MAX_TOLD]) + (" …" if len(names) > MAX_TOLD else "")
        raise not_found("scenario", name, "scenario", f"; there are: {there}" if names else "")

    def target(self, scenarios: str) -> Path:
        """The file of a scenario; or, as ``amoc run`` reads it, several with their loads.

        Raises:
            Problem: There is none.
        """
        parts = scenario_files.parts_of(scenarios)
        if not parts:
            return self.find(scenarios)
        files = [one._replace(source=str(self.find(one.source))) for one in parts]
        return Path(scenario_files.text_of(files))

    def describe(self, name: str, *asked: str) -> dict[str, object]:
        """What a scenario says of itself; `asked` is as in `amoc.service.describe`.

        Raises:
            Problem: There is no such scenario.
            AmocError: It cannot be loaded.
        """
        return {"name": name, **describe(self.find(name), *asked)}


def _files(base: Path) -> Iterator[Path]:
    """Python files below `base`, without hidden directories and links out of it."""
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
