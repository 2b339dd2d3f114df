"""Requirements as text, and which of them are met by installed versions. Pure.

Only plain ones are evaluated here, ``name``, ``name >= 1.2, < 2``: numeric versions, no extras and
no markers. All others are left to the installer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import TypeAlias

Own: TypeAlias = Mapping[str, str]
"""Versions of installed distributions by their names in the form of `normal`."""
Version: TypeAlias = tuple[int, ...]

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*")
_CLAUSE = re.compile(r"\s*(==|!=|<=|>=|<|>|~=)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_ARCHIVE = re.compile(
    r"/([A-Za-z0-9][A-Za-z0-9._]*)-\d[^/\s#?]*\.(?:whl|zip|tgz|tar\.\w+)(?:[\s#?]|$)"
)
_COMPARE: Mapping[str, Callable[[Version, Version], bool]] = {
    "==": eq,
    "!=": ne,
    "<=": le,
    ">=": ge,
    "<": lt,
    ">": gt,
}


def normal(name: str) -> str:
    """Normalize a distribution's name, for comparison."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str | None:
    """Return the name of the required distribution; None for a file, a URL or an option."""
    found = _NAME.match(requirement)
    if not found or requirement.lstrip().startswith((".", "/", "-")):
        return None
    rest = requirement[found.end() :]
    return (
        normal(found[1]) if rest[:1] in ("", "[", "(", "=", "!", "<", ">", "~", ";", "@") else None
    )


def named(address: str) -> str:
    """Return ``name @ address`` if the file name gives the name, which uv does not read."""
    found = _ARCHIVE.search(address)
    return f"{found[1]} @ {address}" if found else address


def is_met(requirement: str, own: Own) -> bool:
    """Return whether what is installed certainly meets the requirement."""
    name, found = name_of(requirement), _NAME.match(requirement)
    if name is None or found is None or name not in own:
        return False
    return allows(requirement[found.end() :], own[name]) is True


def allows(specifier: str, version: str) -> bool | None:
    """Return whether ``>= 1.2, < 2`` allows a version; None unless both are plain."""
    if not _NUMBERS.fullmatch(version):
        return None if specifier.strip() else True
    verdicts = [_allows(clause, version) for clause in specifier.split(",") if clause.strip()]
    return None if None in verdicts else all(verdicts)


def _allows(clause: str, version: str) -> bool | None:
    found = _CLAUSE.fullmatch(clause)
    if not found:
        return None
    operator, wanted, prefix = found[1], _numbers(found[2]), found[3]
    have = _numbers(version)
    if prefix and operator in ("==", "!="):
        return (have[: len(wanted)] == wanted) is (operator == "==")
    if prefix:
        return None
    if operator == "~=":
        return (
            None if len(wanted) < 2 else have >= wanted and have[: len(wanted) - 1] == wanted[:-1]
        )
    size = max(len(have), len(wanted))
    return _COMPARE[operator](_filled(have, size), _filled(wanted, size))


def _numbers(version: str) -> Version:
    return tuple(map(int, version.split(".")))


def _filled(version: Version, size: int) -> Version:
    """Pad a version with zeros: 1.2 is 1.2.0."""
    return version + (0,) * (size - len(version))


def constraints(own: Own) -> Iterable[str]:
    """Return constraints that keep everything installed at its version, a line each."""
    return (f"{name}=={version}" for name, version in sorted(own.items()))
