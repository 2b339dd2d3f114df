"""docs/xmpp-reference.md covers every setting, metric, error and predicate."""

from __future__ import annotations

import re
from pathlib import Path

from amoc import metrics, xmpp
from amoc.scenario.settings import Setting
from amoc.steps.recorder import Recorder
from amoc.xmpp import errors, match, meters, options, request_counts

PAGE = (Path(__file__).parents[3] / "docs/xmpp-reference.md").read_text()


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)", cell)]


def test_every_setting_is_documented_with_its_default() -> None:
    declared = {name: one for name, one in vars(options).items() if isinstance(one, Setting)}
    assert first_column("Settings") == list(declared)
    for name, default in re.findall(r"^\| `(xmpp_\w+)` \| (.*?) \|", PAGE, re.MULTILINE):
        shown = (
            default.strip("`")
            .replace("empty", "")
            .replace("false", "False")
            .replace("true", "True")
        )
        value = declared[name].default
        if isinstance(value, float):
            value = f"{value:g} s"
        assert shown == str(value), name


def test_every_metric_is_documented() -> None:
    kinds = (metrics.Counter, metrics.Gauge, metrics.Timer, Recorder)
    declared = [one.name for one in vars(meters).values() if isinstance(one, kinds)]
    declared += ["Aggregated", request_counts.UNNAMED]
    assert sorted(first_column("What is measured")) == sorted(declared)


def test_every_error_is_documented_and_exported() -> None:
    kinds = [one for name, one in vars(errors).items() if isinstance(one, type) and name[0] != "_"]
    declared = {one.__name__ for one in kinds if issubclass(one, errors.XmppError)}
    assert {*first_column("Errors"), "XmppError"} == declared
    assert declared <= set(xmpp.__all__)


def test_every_predicate_is_documented_and_exported() -> None:
    public = {name: one for name, one in vars(match).items() if name[0] != "_"}
    makers = {
        name: one
        for name, one in public.items()
        if isinstance(one, match.Match)
        or getattr(one, "__annotations__", {}).get("return") == "Match"
    }
    assert {"is_chat", "from_jid", "has_body"} <= makers.keys()
    for name, one in makers.items():
        assert f"`{name}" in PAGE, name
        assert name in xmpp.__all__
        assert getattr(xmpp, name) is one
