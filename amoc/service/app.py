"""The web application: REST and pages, in parts that each register their routes."""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Request
from flask.json.provider import DefaultJSONProvider
from flask_openapi3 import Info, OpenAPI, Server

from amoc import __version__
from amoc.base.json_plain import Json
from amoc.service import (
    api_pages,
    guard,
    problems,
    rest_execution,
    rest_runs,
    rest_scenarios,
    rest_status,
)
from amoc.service.dashboard import pages
from amoc.service.problems import Problem, ProblemBody
from amoc.service.service import Service

PARTS = (guard, rest_status, rest_scenarios, rest_execution, rest_runs, api_pages, pages)
"""Modules with a function ``register(app, service)``, in order; `guard` is first."""

MAX_BODY = 1 << 20


class JsonRequest(Request):
    """A request whose body, if any, must be JSON."""

    def get_json(self, *_: object, **__: object) -> Json:
        """Return the parsed body; an empty object if there is no body."""
        data = self.get_data(cache=True)
        if not data:
            return {}
        if not self.is_json:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be of type application/json"
            )
        try:
            found: Json = json.loads(data, parse_constant=_no_constant)
            return found
        except (ValueError, RecursionError) as error:
            detail = f"the body must be JSON: {error}"
            raise Problem(HTTPStatus.BAD_REQUEST, detail, "body") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Application(OpenAPI):
    """A Flask application with an OpenAPI document."""

    request_class = JsonRequest

    def generate_spec_json(self) -> None:
        """Generate the document. Operations without input get no response for invalid input."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # flask-openapi3's
        for path in self.spec_json["paths"].values():
            for operation in path.values():
                if not (operation.get("parameters") or operation.get("requestBody")):
                    del operation["responses"][self.validation_error_status]


def create_app(service: Service) -> Application:
    """Return the application of a server."""
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
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.sort_keys = False
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    problems.handle(app)
    for part in PARTS:
        part.register(app, service)
    return app


_ABOUT = "Start, control and observe load tests. See docs/rest.md for examples."
