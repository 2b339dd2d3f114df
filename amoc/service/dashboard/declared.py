"""Settings that scenarios of running runs declare, for the controls on their pages.

They are determined once per run, by a process that loads its scenario (`amoc.service.describe`),
when a viewer who may change settings opens its page. If the scenario has changed since the run
started, there are none.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

import gevent

from amoc.base.errors import AmocError
from amoc.results.replay import digest
from amoc.results.report.live import LivePage
from amoc.service.answers import SettingBody
from amoc.service.dashboard import forms
from amoc.service.isolated import answer_of
from amoc.service.problems import Problem

MAX_KNOWN = 32
"""Maximum number of runs whose settings are cached."""

_log = logging.getLogger(__name__)
_Described = Sequence[SettingBody]


class Declared:
    """The settings of running runs, by run id."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, _Described | None] = OrderedDict()

    def look(self, run: str, page: LivePage) -> None:
        """Start loading the settings of a run for a viewer who may change them."""
        if run not in self._found and page.scenario:
            self._found[run] = ()
            while len(self._found) > MAX_KNOWN:
                self._found.popitem(last=False)
            gevent.spawn(self._find, run, page)

    def fields(self, run: str, page: LivePage) -> Sequence[tuple[str, forms.Changes]]:
        """Return the settings of a run that can be changed; empty while they are not known."""
        if run not in self._found:
            return ()
        return forms.changeable(self._found[run], page.settings)

    def _find(self, run: str, page: LivePage) -> None:
        path, found = page.scenario.get("path"), None
        try:
            if path and digest(path) == page.scenario.get("sha256"):
                described = answer_of("describe", path)["settings"]
                found = [SettingBody.model_validate(one) for one in described]
        except (AmocError, Problem) as error:
            _log.warning("the settings of the scenario of run %s are unknown: %s", run, error)
        if run in self._found:
            self._found[run] = found
