"""Names of requests: their limit, and where requests beyond it are counted."""

from __future__ import annotations

from amoc.base.text import printable
from amoc.http import meters
from amoc.metrics import registry
from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.request_names import MAX_NAMES, OTHER
from amoc.metrics.step_names import BYTES, COUNT, FAILURES
from amoc.steps import recorder
from amoc.steps.recorder import Recorder

MAX_NAME_BYTES = 120
"""Longer names are cut and end in an ellipsis, which leaves room for a cause of failure."""
_TAKEN = (COUNT, BYTES, RESPONSE)
"""Suffixes that belong to the metrics of other request names."""


class _Names:
    """The number of names in use."""

    count = 0


def recorder_of(name: str) -> Recorder:
    """Return the recorder for requests called `name`, or for `OTHER` beyond `MAX_NAMES`.

    Raises:
        ScenarioError: The name cannot be a step's, or there is no room for another step.
    """
    one = registry.current.composed.get(name)
    if type(one) is Recorder:
        return one
    if (shown := _shown(name)) != name:
        return recorder_of(shown)
    names: _Names | None = registry.current.composed.get(_Names)
    if names is None:
        names = registry.current.composed[_Names] = _Names()
    if names.count >= MAX_NAMES and name != OTHER:
        meters.names_beyond.inc()
        return recorder_of(OTHER)
    made = recorder.of(name)
    names.count += 1
    return made


def _shown(name: str) -> str:
    """Return a valid step name for `name`, which may have any characters and any length."""
    one = printable(name).replace(FAILURES, FAILURES.replace(".", "·"))
    if one.endswith(_TAKEN):
        one = "·".join(one.rsplit(".", 1))
    if len(one.encode()) <= MAX_NAME_BYTES + 3:
        return one
    return one.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip("…") + "…"
