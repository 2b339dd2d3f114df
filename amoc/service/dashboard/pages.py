"""The pages of the dashboard: runs, a run, the start form, a comparison, signing in.

To sign in, the browser keeps a token in a cookie that scripts cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial, wraps
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from math import isfinite, nan
from pathlib import Path
from typing import ParamSpec

from flask import Response, request, send_from_directory
from flask_openapi3 import OpenAPI
from markupsafe import Markup

from amoc.base.errors import AmocError
from amoc.base.json_plain import JsonObject
from amoc.results.report import shell
from amoc.results.report.detail import MAX_S
from amoc.results.report.page import title
from amoc.service import guard, sse
from amoc.service.answers import SettingBody
from amoc.service.dashboard import forms, parts, runs_table
from amoc.service.dashboard.declared import Declared
from amoc.service.dashboard.details import Details
from amoc.service.dashboard.live_pages import LivePages
from amoc.service.isolated import answer_of
from amoc.service.problems import Problem, of_error, unprocessable
from amoc.service.service import Service
from amoc.service.tokens import Role

_P = ParamSpec("_P")
LIMIT = 100
MAX_LIMIT = 1_000
MAX_QUERY = 100
_OURS = re.compile(r"/(?:[!-.0-\[\]-~][!-~]*)?")
_OWN = Path(str(files(parts.PACKAGE) / "assets"))
_REPORTS = Path(str(files("amoc.results.report") / "assets"))
ASSETS = {
    "dashboard.css": _OWN,
    "dashboard.js": _OWN,
    "live.js": _REPORTS,
    "report.css": _REPORTS,
    "report.js": _REPORTS,
    "uPlot.iife.min.js": _REPORTS,
    "uPlot.min.css": _REPORTS,
}


@cache
def version_of_assets() -> str:
    """Return a value that changes when any of the files does, as browsers cache them."""
    digest = sha256()
    for name, directory in sorted(ASSETS.items()):
        digest.update((directory / name).read_bytes())
    return digest.hexdigest()[:12]


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes. None of them is in the OpenAPI document."""
    _register_signing_in(app)
    declared = Declared()
    live = LivePages(service.runs, partial(parts.add, declared=declared))
    service.runs.queue.on_begin = live.begin
    details = Details()

    @app.route("/assets/<name>")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such file")
        answer = send_from_directory(ASSETS[name], name)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"  # has a version
        return answer

    @app.route("/")
    @_told
    def runs_page() -> Response:
        query, limit = _query(), _limit()
        made = _list(service, live, query, limit)
        return page("runs.html", "runs", query=query, limit=limit, list=Markup(made))  # noqa: S704

    @app.route("/dashboard/list")
    def runs_list() -> Response:
        return Response(_list(service, live, _query(), _limit()), mimetype="text/html")

    @app.route("/dashboard/start")
    @_told
    def start_page() -> Response:
        return _start_page(service, request.args.get("scenario", "")[:1000])

    @app.route("/dashboard/runs/<id>")
    @_told
    def run_page(id: str) -> Response:
        directory = service.runs.find(id)
        shown = live.page_of(directory)
        fragments: Mapping[str, str]
        if shown is not None:
            if guard.may(Role.RUN):
                declared.look(directory.id, shown)
            fragments, head, data = shown.fragments, title(shown.summary), shown.first_data()
        else:
            found = details.page_of(directory)
            fragments = found["fragments"] | {"log": parts.log_of(directory)}
            fragments = {name: Markup(html) for name, html in fragments.items()}  # noqa: S704
            head, data = found["title"], found["data"]
        return page(
            "run.html",
            title=head,
            run=directory.id,
            detail_s=MAX_S,
            live=shown is not None,
            fragments=fragments,
            data=shell.json_text(data),
        )

    @app.route("/dashboard/runs/<id>/detail")
    def run_detail(id: str) -> JsonObject:
        directory = service.runs.find(id)
        watched = live.page_of(directory)
        shown = None if watched is None else watched.shown.to_json()
        return details.between(directory, _moment("from"), _moment("to"), shown)

    @app.route("/dashboard/runs/<id>/events")
    def run_events(id: str) -> Response:
        directory = service.runs.find(id)
        version = sse.last_seen(request.args.get("after", 0, int))
        return sse.stream(live.of(directory).events(version, guard.may(Role.RUN)))

    @app.route("/dashboard/compare/<a>/<b>")
    @_told
    def compare_page(a: str, b: str) -> Response:
        both = [service.runs.find(one) for one in (a, b)]
        found = answer_of("saved", "compare page", *(str(one.path) for one in both))
        return page(
            "compare_runs.html",
            title=found["title"],
            runs=[one.id for one in both],
            compared=Markup(found["compared"]),  # noqa: S704 - made by a template
            data=shell.json_text(found["data"]),
        )


def _register_signing_in(app: OpenAPI) -> None:
    @app.route(guard.SIGN_IN)
    def sign_in_page() -> Response:
        return page("sign_in.html", to=way_back(request.args.get("to", "")))

    @app.route(guard.SIGN_IN, methods=["POST"])
    def sign_in() -> Response:
        body = request.get_json()
        token = body.get("token") if isinstance(body, dict) else None
        guard.token_checker(app).role(token if isinstance(token, str) else "")
        answer = Response(status=HTTPStatus.NO_CONTENT)
        answer.set_cookie(
            guard.COOKIE, str(token), secure=request.is_secure, httponly=True, samesite="Strict"
        )
        return answer

    @app.route("/dashboard/sign-out", methods=["POST"])
    def sign_out() -> Response:
        answer = Response(status=HTTPStatus.NO_CONTENT)
        answer.delete_cookie(guard.COOKIE, httponly=True, samesite="Strict")
        return answer


def way_back(to: str) -> str:
    r"""Return where to go after signing in, which must be a page of this server.

    Browsers remove tabs and line ends, and treat \ as /. So //, /\ and / with a tab before another
    / all start a URL on another host.
    """
    return to if _OURS.fullmatch(to) else "/"


def _told(view: Callable[_P, Response]) -> Callable[_P, Response]:
    """Return the view function of a page, which responds to errors with a page, too."""

    @wraps(view)
    def told(*places: _P.args, **named: _P.kwargs) -> Response:
        try:
            return view(*places, **named)
        except Problem as problem:
            refused = problem
        except AmocError as error:
            refused = of_error(error)
        made = page("refused.html", phrase=refused.status.phrase, detail=refused.detail)
        made.status_code = int(refused.status)
        made.headers.update(refused.headers)
        return made

    return told


def page(template: str, here: str = "", **context: object) -> Response:
    """Return a page of the dashboard, with what its client may do."""
    said = {"title": "amoc", "policy": "", "style": "", "script": "", "data": ""} | context
    text = parts.rendered(
        template,
        **said,
        here=here,
        assets=version_of_assets(),
        may_run=guard.may(Role.RUN),
        may_delete=guard.may(Role.ADMIN),
        signed_in=guard.COOKIE in request.cookies and guard.may(Role.READ),
    )
    return Response(text, mimetype="text/html")


def _moment(name: str) -> float:
    """Return a time in a request's query, in seconds since the first user could start."""
    value = request.args.get(name, nan, float)
    if not isfinite(value):
        raise unprocessable(f"{name} must be a number of seconds", name)
    return value


def _query() -> str:
    return request.args.get("q", "")[:MAX_QUERY]


def _limit() -> int:
    return min(MAX_LIMIT, max(1, request.args.get("limit", LIMIT, int)))


def _list(service: Service, live: LivePages, query: str, limit: int) -> str:
    """Return the table of runs."""
    found = service.runs.newest(MAX_LIMIT if query else limit + 1)
    some = runs_table.matching(found, query)
    rows = [
        runs_table.row(live.so_far(one), service.runs.error_of(one.name)) for one in some[:limit]
    ]
    return parts.rendered(
        "parts/list.html",
        runs=rows,
        query=query,
        more=min(MAX_LIMIT, 2 * limit) if len(some) > limit < MAX_LIMIT else 0,
        may_run=guard.may(Role.RUN),
        may_delete=guard.may(Role.ADMIN),
    )


def _start_page(service: Service, chosen: str) -> Response:
    about, problem = None, ""
    settings: Sequence[SettingBody] = ()
    if not guard.may(Role.RUN):
        raise Problem(HTTPStatus.FORBIDDEN, "starting a run requires the role run")
    if chosen:
        try:
            about = service.scenarios.describe(chosen)
            settings = [SettingBody.model_validate(one) for one in about["settings"]]
        except (Problem, AmocError) as error:
            problem = str(error)
    return page(
        "start.html",
        "start",
        scenarios=service.scenarios.names(),
        directory=str(service.config.scenarios),
        chosen=chosen,
        about=about,
        problem=problem,
        load=forms.load(),
        groups=forms.groups(settings),
        may_upload=service.config.upload and guard.may(Role.ADMIN),
    )
