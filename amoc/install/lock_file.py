"""The lock file of a scenario: the versions that its dependencies were resolved to. Pure.

It is a requirements file with hashes, which pip and uv can read as well. Comments at the top record
what it was made from; a change of that makes it invalid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amoc.install.requirements import normal

_FACT = re.compile(r"^# (amoc-lock|requirements|python): (.*)$", re.MULTILINE)
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:==([^\s;]+)| @ (\S+))(.*)")
FORMAT = "1"


@dataclass(frozen=True)
class Pin:
    """A version of a distribution.

    Attributes:
        name: In the form of `normal`.
        version: The version; empty for a URL.
        line: The whole line for the installer, with hashes.
    """

    name: str
    version: str
    line: str

    @property
    def hashed(self) -> bool:
        """Whether the installer can verify what it downloads."""
        return "--hash=" in self.line


@dataclass(frozen=True)
class Lock:
    """The contents of a lock file.

    Attributes:
        digest: The digest of the requirements that it was made from.
        python: The version of Python that it is for: ``3.11``.
        pins: The versions to install.
    """

    digest: str
    python: str
    pins: tuple[Pin, ...]

    def text(self, source: str, scenario: str) -> str:
        """Return the lock file for the requirements of `source`."""
        head = (
            f"# What {source} depends on, resolved. To renew it: amoc check {scenario} --lock",
            f"# amoc-lock: {FORMAT}",
            f"# requirements: sha256:{self.digest}",
            f"# python: {self.python}",
        )
        return "".join(f"{line}\n" for line in (*head, *(one.line for one in self.pins)))


@dataclass(frozen=True)
class UvLock:
    """The lock of ``uv lock --script``, which only uv reads.

    Attributes:
        path: Its path.
        script: The scenario that it belongs to.
        digest: The digest of its contents.
    """

    path: Path
    script: Path
    digest: str


def read(text: str) -> Lock:
    """Parse the text of a lock file.

    Raises:
        ValueError: It is not a lock file of this format.
    """
    facts = dict(_FACT.findall(text))
    if facts.get("amoc-lock") != FORMAT or not {"requirements", "python"} <= facts.keys():
        raise ValueError("it was not made by amoc check --lock")
    return Lock(facts["requirements"].removeprefix("sha256:"), facts["python"], pins(text))


def pins(text: str) -> tuple[Pin, ...]:
    """Return the versions in the text of a requirements file that contains only pinned versions.

    Raises:
        ValueError: A line is something else.
    """
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        stripped = re.sub(r"\s+", " ", line.partition(" #")[0]).strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _PIN.fullmatch(stripped)
        if not match:
            wanted = "name @ address" if "://" in stripped else "a version of a distribution"
            raise ValueError(f"expected {wanted}, got {stripped!r}")
        found.append(Pin(normal(match[1]), match[2] or "", stripped))
    return tuple(sorted(found, key=lambda one: one.name))


def to_install(found: Sequence[Pin], own: dict[str, str]) -> list[Pin]:
    """Return the pins that are not installed yet.

    Raises:
        ValueError: One is present in another version, which is loaded first.
    """
    wrong = [one for one in found if own.get(one.name, one.version) != one.version]
    if wrong:
        told = ", ".join(
            f"{one.line.partition(' --')[0]} (amoc has {own[one.name]})" for one in wrong
        )
        raise ValueError(
            f"libraries that amoc itself has cannot be installed in other versions: {told}"
        )
    return [one for one in found if one.name not in own]
