"""Declaration of feeds in a scenario: `csv`, `jsonl` and `rows`.

They are called at a module's top level or in init(), so that all workers inherit the feeds when
they are forked. Files are read and checked at once, so an error in one ends the run before it
begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from amoc.base.errors import ScenarioError
from amoc.base.names import check_name
from amoc.base.text import cut
from amoc.feed import registry
from amoc.feed.feed import DealtFeed, Feed, RandomFeed, UserFeed, check_time
from amoc.feed.sources import CsvRows, GivenRows, JsonRow, JsonRows, Row_co, Rows

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
) -> Feed[dict[str, str]]:
    """Declare a feed of the rows of a CSV file, as dictionaries keyed by its header line.

    Args:
        path: The file, relative to the directory of the calling code's file.
        order: ``unique`` hands out each row once, ``circular`` starts over at the end, ``random``
            draws from all rows each time, with `user.random`.
        share: ``run`` shares one sequence of rows among all users of the run; with ``user`` each
            user reads all rows on its own.
        at_end: What happens when a ``unique`` feed has no row left: ``stop``, the default, ends the
            user that asks for one as finished, ``wrap`` starts over, ``fail`` crashes the user.
        name: The feed's name in the results; the path by default.
        encoding: The file's encoding.
        delimiter: The field separator.

    Raises:
        ScenarioError: An argument is invalid, or the file cannot be read or is malformed; names
            the line.
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ScenarioError(
            "the delimiter of a feed must be one character other than a quote or line break, got"
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
) -> Feed[JsonRow]:
    """Declare a feed of the rows of a JSON Lines file, an object on each line; see `csv`."""
    return _of_file(
        "jsonl",
        path,
        lambda file, named: JsonRows(file, named, "utf-8"),
        (order, share, at_end, name),
        sys._getframe(1),
    )


def rows(
    iterable: Iterable[Row_co],
    order: str = "unique",
    share: str = "run",
    *,
    at_end: str | None = None,
    name: str = "rows",
) -> Feed[Row_co]:
    """Declare a feed of the elements of a sequence or other iterable, typically dictionaries.

    Args:
        iterable: A sequence is used directly, any other iterable is copied into a list. A
            dictionary is copied when it is handed out; other elements are not.
        order: As for `csv`.
        share: As for `csv`.
        at_end: As for `csv`.
        name: The feed's name in the results.
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
    read: Callable[[Path, str], Rows[Row_co]],
    how: tuple[object, object, object, str | None],
    caller: FrameType,
) -> Feed[Row_co]:
    try:
        given = Path(path)
    except TypeError:
        raise ScenarioError(f"the path of a feed must be text, got {cut(path)}") from None
    code = Path(caller.f_code.co_filename)
    file = (code.parent if code.exists() else Path()).absolute() / given
    *rest, name = how
    named = name if name is not None else given.name if given.is_absolute() else str(given)
    return _declared(what, lambda _: read(file, str(given)), named, tuple(rest), caller)


def _declared(
    what: str,
    read: Callable[[str], Rows[Row_co]],
    name: object,
    how: tuple[object, ...],
    caller: FrameType,
) -> Feed[Row_co]:
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
            f"at_end of feed {named} requires order unique, got order {order}, which has no end"
        )
    feed = _make(named, read(named), *map(str, given.values()))
    registry.add(feed, caller)
    return feed


def _make(name: str, rows: Rows[Row_co], order: str, share: str, at_end: str) -> Feed[Row_co]:
    if at_end == "wrap":
        order = "circular"
    if order == "random":
        return RandomFeed(name, rows, at_end, order, share)
    if share == "user":
        return UserFeed(name, rows, at_end, order, share)
    return DealtFeed(name, rows, at_end, order)
