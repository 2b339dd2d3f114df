"""What the scenarios of runs that go on declare, for the controls of their pages.

It is found out once for a run, by a process that loads its scenario (`amoc.service.describe`), when
somebody who may change settings looks at its page. Of a scenario that is not as it was when the run
began, nothing is said.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import gevent

from amoc.base.errors import AmocError
from amoc.results.replay import digest
from amoc.results.report.live import LivePage
from amoc.service.dashboard import forms
from amoc.service.isolated import DESCRIBE_S, answer_of
from amoc.service.problems import Problem

MAX_KNOWN = 32
"""Runs of which that is remembered."""

_log = logging.getLogger(__name__)
_Described = Sequence[Mapping[str, Any]]


class Declared:
    """The settings of runs that go on, by the run's id."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, _Described | None] = OrderedDict()

    def look(self, run: str, page: LivePage) -> None:
        """Somebody looks at the page of a run who may change its settings."""
        if run not in self._found and page.scenario:
            self._found[run] = ()
            while len(self._found) > MAX_KNOWN:
                self._found.popitem(last=False)
            gevent.spawn(self._find, run, page)

    def fields(self, run: str, page: LivePage) -> Sequence[tuple[str, forms.Changes]]:
        """The settings of a run that can be changed; empty as long as that is not known."""
        if run not in self._found:
            return ()
        return forms.changeable(self._found[run], page.settings)

    def _find(self, run: str, page: LivePage) -> None:
        path, found = page.scenario.get("path"), None
        try:
            if path and digest(path) == page.scenario.get("sha256"):
                found = answer_of("amoc.service.describe", [path], DESCRIBE_S)["settings"]
        except (AmocError, Problem) as error:
            _log.warning("what the scenario of run %s declares is not known: %s", run, error)
        if run in self._found:
            self._found[run] = found
