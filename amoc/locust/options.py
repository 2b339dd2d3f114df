"""Settings of locustfiles, by Locust's names. Arguments of a locustfile become settings, too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import count
from types import ModuleType
from typing import Any, TypedDict, Unpack

from amoc.locust.environment import ParsedOptions
from amoc.locust.exceptions import Carried, NotCarried
from amoc.locust.hooks import Events, listeners_of
from amoc.scenario import builtin_settings
from amoc.scenario.facts import RunFacts
from amoc.scenario.settings import setting

host = setting("", "Base URL of the target (--host); empty: the one in each user class")
tags = setting("", "Run only tasks with one of these tags, separated by spaces (--tags)")
exclude_tags = setting("", "Skip tasks with one of these tags (--exclude-tags)")
real_locust = setting(False, "Use Locust's own classes, which must be installed (--real-locust)")

_numbers = count(1)
_IGNORED = {"env_var", "include_in_web_ui", "is_required", "is_secret", "metavar", "required"}
_UNUSED: dict[str, object] = {
    **dict.fromkeys(("master", "worker", "autostart", "only_summary", "csv_full_history")),
    "csv_prefix": None,
    "expect_workers": 1,
    "headless": True,
    "html_file": None,
    "json": False,
    "loglevel": "INFO",
    "master_host": "127.0.0.1",
    "stop_timeout": 0.0,
}
"""Options of Locust that have no effect here, with their defaults."""


class ArgumentOptions(TypedDict, total=False):
    """Those of `argparse`, as far as settings have them."""

    dest: str | None
    type: Callable[[str], object]
    choices: Iterable[object] | None
    default: object
    help: str | None
    action: str | None


class Parser(Carried):
    """The parser that a locustfile adds arguments to. Each becomes a setting of the same name."""

    _called = "parser"

    def __init__(self) -> None:
        self.names: dict[str, Callable[[], object]] = {}
        self._module = ModuleType(f"{__name__}.of_locustfile_{next(_numbers)}")
        sys.modules[self._module.__name__] = self._module

    def add_argument(self, *flags: str, **how: Unpack[ArgumentOptions]) -> None:
        """Add an argument: ``parser.add_argument("--depth", type=int, default=3, help="…")``.

        Raises:
            NotCarried: The argument has a feature that settings do not have.
        """
        name = how.pop("dest", None) or next(
            (one for one in flags if one.startswith("--")), flags[0]
        ).lstrip("-").replace("-", "_")
        kind, choices = how.pop("type", str), how.pop("choices", None)
        default, about = how.pop("default", None), how.pop("help", None)
        action = how.pop("action", None)
        if unknown := how.keys() - _IGNORED:
            raise NotCarried(f"{min(unknown)}= of parser.add_argument()")
        if action in ("store_true", "store_false"):
            kind, default = bool, action == "store_false" if default is None else default
        elif action not in (None, "store"):
            raise NotCarried(f"action={action!r} of parser.add_argument()")
        self._declare(name, kind, default, choices, about or f"Argument of the locustfile: {name}")

    def _declare(
        self,
        name: str,
        kind: Callable[[str], object],
        default: object,
        choices: Iterable[object] | None,
        about: str,
    ) -> None:
        if isinstance(kind, type) and kind in (bool, int, float, str):
            declared = setting(
                default, about, type=kind if default is not None else kind | None,
                verify=tuple(choices) if choices is not None else None,
            )  # fmt: skip
        else:  # a function that converts text
            declared = setting(default, about, type=Any, parse=kind)  # the setting has any type
        # Settings are named after their variable in a module; this module has only these.
        declared.module = self._module.__name__
        setattr(self._module, name, declared)
        self.names[name] = declared.get

    def add_argument_group(self, *_: object, **__: object) -> Parser:
        """Return the parser itself, as groups are only headings."""
        return self


def parse(events: Events) -> Parser:
    """Let the locustfile add its arguments, and return the parser."""
    parser = Parser()
    for listener in listeners_of(events.init_command_line_parser):
        listener(parser=parser)
    return parser


def parsed(parser: Parser, facts: RunFacts) -> ParsedOptions:
    """Return the operator's options, by Locust's names."""
    rate = builtin_settings.user_rate.get()
    interval_s = builtin_settings.interarrival.get() / 1000
    spawn_rate = rate / 60 if rate is not None else 1 / interval_s if interval_s else float("inf")
    return ParsedOptions(
        **_UNUSED,
        host=host.get() or None,
        num_users=len(facts.users),
        users=len(facts.users),
        spawn_rate=spawn_rate,
        run_time=facts.duration_s,
        tags=words(tags.get()),
        exclude_tags=words(exclude_tags.get()),
        **{name: get() for name, get in parser.names.items()},
    )


def words(text: str) -> list[str] | None:
    """Return the tags in a text; None if there are none."""
    return text.replace(",", " ").split() or None
