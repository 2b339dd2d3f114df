"""Text: lines out of a stream of bytes, and values put into words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from amoc.base.clock import S_NS

MAX_LINE = 1 << 16
"""Longer text without a line break is passed on as it is."""
NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
_ADDRESS = re.compile(
    r"(?<![\w.:-])(?:"
    r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"  # IPv4
    r"|\[[0-9a-fA-F:.]+\](?::\d{1,5})?"  # IPv6, as in a URL
    r"|(?:localhost|(?:[\w-]+\.)+[A-Za-z]{2,}):\d{1,5}"  # a name with its port
    r")(?![\w.:-]*\w)"
)


def natural(name: str) -> list[tuple[int, str]]:
    """The key of an order in which node10 comes after node2."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in parts]


class LineSplitter:
    """Collects the output of a process until lines are complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes; empty data means the end of the output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or (self._rest and not data):
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace") for line in lines]


class RateLimiter:
    """Passes a limited number of lines and characters per second, and counts the rest.

    A process that prints must not be blocked, and the view of its output not be flooded.

    Attributes:
        dropped: Lines that were dropped since the last remark.
    """

    def __init__(self, lines: int, characters: int) -> None:
        """Allow `lines` and `characters` a second."""
        self._allowed = lines, characters
        self._left = self._allowed
        self._ends_ns = 0
        self.dropped = 0

    def take(self, lines: list[str], now_ns: int) -> list[str]:
        """Those of `lines` that may pass, after a remark on those dropped in the last second."""
        passed = []
        if now_ns >= self._ends_ns:
            self._left, self._ends_ns = self._allowed, now_ns + S_NS
            passed = self.remark()
        count, characters = self._left
        for line in lines:
            if count > 0 and characters >= len(line):
                passed.append(line)
                count, characters = count - 1, characters - len(line)
            else:
                self.dropped += 1
        self._left = count, characters
        return passed

    def remark(self) -> list[str]:
        """A remark on the lines that were dropped since the last remark, if any."""
        dropped, self.dropped = self.dropped, 0
        return [f"amoc: {counted(dropped, 'printed line')} left out: too many"] if dropped else []


def counted(number: int, noun: str) -> str:
    """``1 user``, ``2 users``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cut(value: object, most: int = 60) -> str:
    """`value` as Python writes it, in at most `most` characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deeply"
    return text if len(text) <= most else text[: most - 3] + "…"


def printable(text: str, keep: str = "") -> str:
    """`text` without control characters, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else " " for one in text)


def numberless(text: str) -> str:
    """`text` with ``#`` for each number."""
    return NUMBER.sub("#", text)


def numberless_but_addresses(text: str) -> str:
    """The same, but an IP address stays, and a port behind a host: there are few of them."""
    done, end = "", 0
    for address in _ADDRESS.finditer(text):
        done += numberless(text[end : address.start()]) + address[0]
        end = address.end()
    return done + numberless(text[end:])


@lru_cache(maxsize=32)
def names_in(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list."""
    return tuple(one.strip() for one in text.split(",") if one.strip())


def suggestion(name: str, known: Iterable[str]) -> str:
    """What may have been meant by `name`: the name that is most like it, or else all there are."""
    names = sorted(known)
    close = nearest(name, names)
    return f"did you mean {close}?" if close else f"known: {', '.join(names) or 'none'}"


def nearest(name: str, known: Iterable[str], likeness: float = 0.75) -> str:
    """The name that is most like `name`; empty if none is, by a `likeness` from 0 to 1."""
    from difflib import get_close_matches  # here, for nothing else needs it

    return "".join(get_close_matches(name, [*known], n=1, cutoff=likeness))
