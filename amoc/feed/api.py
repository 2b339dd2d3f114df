"""What a scenario declares feeds with: `csv`, `jsonl` and `rows`.

They are called at a module's top level or in init(), so that all workers get them with the fork. A
file is read and checked there; what is wrong with it ends the run before it has begun.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from amoc.base.errors import ScenarioError
from amoc.base.names import check_name
from amoc.base.text import cut
from amoc.feed import registry
from amoc.feed.feed import DealtFeed, Feed, RandomFeed, UserFeed, check_time
from amoc.feed.sources import CsvRows, GivenRows, JsonRows, Rows

_ALLOWED = {
    "order": ("unique", "circular", "random"),
    "share": ("run", "user"),
    "at_end": ("stop", "wrap", "fail"),
}


def csv(
    path: str | os.PathLike[str],
    order: str = "unique",
    share: str = "run",
    *,
    at_end: str | None = None,
    name: str | None = None,
    encoding: str = "utf-8",
    delimiter: str = ",",
) -> Feed:
    """A feed of the rows of a CSV file, as dictionaries by the names in its first line.

    Args:
        path: The file; relative to the file of the code that calls this.
        order: ``unique`` hands out each row once, ``circular`` begins anew at the end, ``random``
            draws from all rows each time, by `user.random`.
        share: Who takes turns: all users of the run (``run``), or each by itself (``user``).
        at_end: What happens when no row is left of a ``unique`` one: ``stop`` ends the user that
            asks, as finished (the default), ``wrap`` begins anew, ``fail`` lets it crash.
        name: What the feed is called in the results; the path if it is not given.
        encoding: Of the text.
        delimiter: What stands between two fields.

    Raises:
        ScenarioError: An argument makes no sense, or the file cannot be read or is not what it
            should be; with the line.
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ScenarioError(
            "the delimiter of a feed must be one character, and no quote or end of a line, got"
            f" {cut(delimiter)}"
        )
    return _of_file(
        "csv",
        path,
        lambda file, named: CsvRows(file, named, encoding, delimiter),
        (order, share, at_end, name),
        sys._getframe(1),
    )


def jsonl(
    path: str | os.PathLike[str],
    order: str = "unique",
    share: str = "run",
    *,
    at_end: str | None = None,
    name: str | None = None,
) -> Feed:
    """A feed of the rows of a file of JSON lines: an object on each line; see `csv`."""
    return _of_file(
        "jsonl",
        path,
        lambda file, named: JsonRows(file, named, "utf-8"),
        (order, share, at_end, name),
        sys._getframe(1),
    )


def rows(
    iterable: Iterable[Any],
    order: str = "unique",
    share: str = "run",
    *,
    at_end: str | None = None,
    name: str = "rows",
) -> Feed:
    """A feed of what is in a sequence or any other iterable, dictionaries as a rule; see `csv`.

    Args:
        iterable: A sequence is used as it is, the elements of anything else are put into a list.
            Dictionaries are copied when they are handed out, other elements are not.
        order: As for `csv`; so are the others.
        share: Likewise.
        at_end: Likewise.
        name: What the feed is called in the results.
    """
    return _declared(
        "rows",
        lambda named: GivenRows(iterable, named),
        name,
        (order, share, at_end),
        sys._getframe(1),
    )


def _of_file(
    what: str,
    path: str | os.PathLike[str],
    read: Callable[[Path, str], Rows],
    how: tuple[object, object, object, str | None],
    caller: FrameType,
) -> Feed:
    try:
        given = Path(path)
    except TypeError:
        raise ScenarioError(f"the path of a feed must be text, got {cut(path)}") from None
    beside = Path(caller.f_code.co_filename)
    file = (beside.parent if beside.exists() else Path()).absolute() / given
    *rest, name = how
    named = name if name is not None else given.name if given.is_absolute() else str(given)
    return _declared(what, lambda _: read(file, str(given)), named, tuple(rest), caller)


def _declared(
    what: str, read: Callable[[str], Rows], name: object, how: tuple[object, ...], caller: FrameType
) -> Feed:
    check_time(f"feed.{what}()")
    named = check_name("feed", name)
    order, share, at_end = how
    given = {"order": order, "share": share, "at_end": "stop" if at_end is None else at_end}
    for argument, value in given.items():
        if value not in _ALLOWED[argument]:
            allowed = ", ".join(_ALLOWED[argument])
            raise ScenarioError(
                f"{argument} of feed {named} must be one of {allowed}, got {cut(value)}"
            )
    if at_end is not None and order != "unique":
        raise ScenarioError(
            f"at_end of feed {named} is for order unique, got order {order}, which has no end"
        )
    feed = _make(named, read(named), *map(str, given.values()))
    registry.add(feed, caller)
    return feed


def _make(name: str, rows: Rows, order: str, share: str, at_end: str) -> Feed:
    if at_end == "wrap":
        order = "circular"
    if order == "random":
        return RandomFeed(name, rows, at_end, order, share)
    if share == "user":
        return UserFeed(name, rows, at_end, order, share)
    return DealtFeed(name, rows, at_end, order)
