"""Text: splitting output into lines, and formatting values for messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from amoc.base.clock import S_NS

MAX_LINE = 1 << 16
"""Longer text without a line break is passed on without waiting for one."""
NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
_ADDRESS = re.compile(
    r"(?<![\w.:-])(?:"
    r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"  # IPv4
    r"|\[[0-9a-fA-F:.]+\](?::\d{1,5})?"  # IPv6, as in a URL
    r"|(?:localhost|(?:[\w-]+\.)+[A-Za-z]{2,}):\d{1,5}"  # a name with its port
    r")(?![\w.:-]*\w)"
)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts node10 after node2."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in parts]


class LineSplitter:
    """Splits the output of a process into complete lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines completed by `data`; empty data means the end of the output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or (self._rest and not data):
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace") for line in lines]


class RateLimiter:
    """Limits output to a number of lines and characters per second, and counts the rest.

    A process that prints must not be blocked, and the operator's view must not be flooded.

    Attributes:
        dropped: Lines dropped since the last remark.
    """

    def __init__(self, lines: int, characters: int) -> None:
        """Allow `lines` and `characters` per second."""
        self._allowed = lines, characters
        self._left = self._allowed
        self._ends_ns = 0
        self.dropped = 0

    def take(self, lines: list[str], now_ns: int) -> list[str]:
        """Return the `lines` that may pass, after a remark on lines dropped before."""
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
        """Return a remark on lines dropped since the last remark, if any."""
        dropped, self.dropped = self.dropped, 0
        return [f"amoc: {counted(dropped, 'printed line')} left out: too many"] if dropped else []


def counted(number: int, noun: str) -> str:
    """Format a count: ``1 user``, ``2 users``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cut(value: object, most: int = 60) -> str:
    """Return the repr of `value`, shortened to `most` characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deeply"
    return text if len(text) <= most else text[: most - 3] + "…"


def printable(text: str, keep: str = "") -> str:
    """Replace control characters in `text` by spaces, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else " " for one in text)


def numberless(text: str) -> str:
    """Replace each number in `text` by ``#``."""
    return NUMBER.sub("#", text)


def numberless_but_addresses(text: str) -> str:
    """Like `numberless`, but keep IP addresses and ports after hosts, as they are few."""
    done, end = "", 0
    for address in _ADDRESS.finditer(text):
        done += numberless(text[end : address.start()]) + address[0]
        end = address.end()
    return done + numberless(text[end:])


@lru_cache(maxsize=32)
def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(one.strip() for one in text.split(",") if one.strip())


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint for a wrong `name`: the most similar known name, or else all of them."""
    names = sorted(known)
    close = nearest(name, names)
    return f"did you mean {close}?" if close else f"known: {', '.join(names) or 'none'}"


def nearest(name: str, known: Iterable[str], likeness: float = 0.75) -> str:
    """Return the most similar name; empty if none has a `likeness`, from 0 to 1, this high."""
    from difflib import get_close_matches  # here, since it is rarely needed

    return "".join(get_close_matches(name, [*known], n=1, cutoff=likeness))
