"""Whether requests had more names than workers record, for the operator and the notes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from amoc.base.text import counted
from amoc.metrics.request_names import BEYOND, MAX_NAMES, OTHER

_WHY = (
    f"{OTHER!r}, because a worker records at most {MAX_NAMES:,} names of requests: give requests"
    ' whose URLs differ one name, get(…, name="GET /item/[id]"), or a template,'
    ' get("/item/{id}", path={"id": …})'
)


def warnings(before: int, counters: Mapping[str, int]) -> list[str]:
    """Return a sentence for the operator as soon as there is such a request.

    Args:
        before: How many there were at the last call.
        counters: Those of the whole run.
    """
    return [f"further requests count as {_WHY}"] if counters.get(BEYOND, 0) and not before else []


def notes(counters: Mapping[str, int]) -> list[str]:
    """Return a sentence with the number of such requests, if there are any."""
    beyond = counters.get(BEYOND, 0)
    return [f"{counted(beyond, 'request')} counted as {_WHY}"] if beyond else []
