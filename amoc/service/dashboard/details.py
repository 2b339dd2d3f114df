"""Pages of ended runs, and single seconds of any run for zooming.

Separate processes make both (`amoc.service.saved`). The charts of a page are remembered, so that
their seconds can be read without making the page again.
"""

from __future__ import annotations

from collections import OrderedDict

from amoc.base.json_plain import JsonObject
from amoc.results.report.detail import MAX_S
from amoc.results.run_directory import RunDirectory
from amoc.service.isolated import answer_of
from amoc.service.problems import unprocessable

MAX_KNOWN = 64
"""Maximum number of runs whose charts are remembered."""


class Details:
    """Pages of ended runs, and parts of any run."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, JsonObject] = OrderedDict()

    def page_of(self, directory: RunDirectory) -> JsonObject:
        """Return the page of an ended run: title, data and fragments."""
        found = answer_of("saved", "page", str(directory.path))
        self._shown[directory.id] = found["shown"]
        self._shown.move_to_end(directory.id)
        while len(self._shown) > MAX_KNOWN:
            self._shown.popitem(last=False)
        return found

    def between(
        self, directory: RunDirectory, from_s: float, to_s: float, shown: JsonObject | None
    ) -> JsonObject:
        """Return single seconds of a part of a run, see `amoc.results.report.detail.columns`.

        Args:
            directory: The run.
            from_s: Start of the part, in seconds since the first user could start.
            to_s: End of the part.
            shown: The charts of its page; None for an ended run.

        Raises:
            Problem: The part is too long.
        """
        if not 0 < to_s - from_s <= MAX_S:
            raise unprocessable(f"to must be at most {MAX_S:g} s after from", "to")
        if shown is None:
            shown = self._shown.get(directory.id) or self.page_of(directory)["shown"]
        span = repr(from_s), repr(to_s)
        return answer_of("saved", "detail", str(directory.path), *span, given=shown)
