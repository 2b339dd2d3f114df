"""The shell of a page: a self-contained file that can do nothing but display itself.

Styles, script and data are in the file. Its content security policy forbids everything else:
connections, images, forms, frames, and any script but our own, which it knows by its hash. Jinja
escapes foreign text; the data is JSON in which no character can end its element. So text from a
target or a scenario is displayed and never executed, and even if it got past the escaping, the
browser would not run it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from amoc.base import atomic_write, clock
from amoc.base.errors import ResourceError, os_error_as
from amoc.base.json_plain import JsonObject
from amoc.results.report import content, texts
from amoc.results.report.compiled import CompiledTemplates
from amoc.scenario.scenario_files import file_names

_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def fill(template: str, data: JsonObject, **context: object) -> str:
    """Return the page made from `template`.

    Args:
        template: Its name in `templates`.
        data: The data for the page's script.
        context: The context for the template.
    """
    style = asset("uPlot.min.css") + asset("report.css")
    licence = "".join(f" * {line}\n" for line in asset("uPlot.LICENSE").splitlines())
    script = f"/*!\n{licence} */\n{asset('uPlot.iife.min.js')}\n{asset('report.js')}"
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src {_hash(script)}; style-src {_hash(style)}"
    )
    return (
        environment()
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704 - ours
            script=Markup(script),  # noqa: S704 - ours
            policy=policy,
            data=json_text(data),
            **context,
        )
    )


def fragments(context: Mapping[str, object]) -> dict[str, Markup]:
    """Return the sections of a report, by name.

    Args:
        context: The context for their templates.
    """
    return {name: fragment(name, context) for name in content.SECTIONS}


def fragment(name: str, context: Mapping[str, object]) -> Markup:
    """Return a section of a report."""
    template = environment().get_template(f"sections/{name}.html")
    return Markup(template.render(context))  # noqa: S704 - the template escapes foreign text


def json_text(value: object) -> Markup:
    """Return `value` as JSON that is safe in a script element, whatever text it contains."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text.encode("utf-8", "replace").decode())  # noqa: S704 - escaped above


def save(page: str, path: Path) -> None:
    """Write a page readable by its owner only; `path` is always the old page or the new one.

    Raises:
        ResourceError: It cannot be written.
    """
    with os_error_as(ResourceError, f"report {path} cannot be written"):
        atomic_write.write_text(path, page.encode("utf-8", "replace").decode())


@cache
def asset(name: str) -> str:
    """Return a file from `assets`."""
    return (Path(__file__).with_name("assets") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def environment(*packages: str) -> Environment:
    """Return the environment that loads templates.

    Args:
        packages: Packages with templates besides the report's.
    """
    found = Environment(
        loader=ChoiceLoader(
            [PackageLoader(one, "templates") for one in (*packages, "amoc.results.report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=CompiledTemplates(),
    )
    filters = (
        *(texts.clip, texts.figure, texts.moment, texts.number, texts.times),
        *(clock.time_of_day, file_names),
    )
    found.filters |= {one.__name__: one for one in filters}
    found.globals["sections"] = content.SECTIONS
    return found
