"""The web application: one for REST and pages, made of parts that each register their routes."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Request
from flask_openapi3 import Info, OpenAPI, Server

from amoc import __version__
from amoc.service import (
    api_pages,
    guard,
    problems,
    rest_execution,
    rest_run_files,
    rest_runs,
    rest_scenarios,
    rest_status,
)
from amoc.service.dashboard import pages, sign_in
from amoc.service.problems import Problem, ProblemBody
from amoc.service.service import Service

PARTS = (
    guard,
    rest_status,
    rest_scenarios,
    rest_execution,
    rest_runs,
    rest_run_files,
    api_pages,
    pages,
    sign_in,
)
"""Modules with a function ``register(app, service)``, in order; `guard` is first."""

MAX_BODY = 1 << 20


class JsonRequest(Request):
    """A request whose body, if it has one, must be JSON and nothing else."""

    def get_json(self, *_: object, **__: object) -> Any:
        """The body; an empty object where there is none."""
        data = self.get_data(cache=True)
        if not data:
            return {}
        if not self.is_json:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be of type application/json"
            )
        try:
            return json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            detail = f"the body must be JSON: {error}"
            raise Problem(HTTPStatus.BAD_REQUEST, detail, [("body", detail)]) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class Application(OpenAPI):
    """Flask with an OpenAPI document."""

    request_class = JsonRequest

    def generate_spec_json(self) -> None:
        """Make the document; what takes nothing cannot be given something wrong."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for path in self.spec_json["paths"].values():
            for operation in path.values():
                if not (operation.get("parameters") or operation.get("requestBody")):
                    del operation["responses"][self.validation_error_status]


def create_app(service: Service) -> Application:
    """The application of a server."""
    app = Application(
        "amoc.service",
        info=Info(title="amoc", version=__version__, description=_ABOUT),
        servers=[Server(url="/")],
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_status=int(HTTPStatus.UNPROCESSABLE_ENTITY),
        validation_error_model=ProblemBody,
        validation_error_callback=lambda error: problems.of_validation(error).response(),
        operation_id_callback=lambda *, name, path, method: name,  # noqa: ARG005 - its signature
        doc_ui=False,
        static_folder=None,
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    problems.handle(app)
    for part in PARTS:
        part.register(app, service)
    return app


_ABOUT = "Starts, controls and watches load tests. docs/rest.md has examples."
