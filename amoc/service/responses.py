"""Responses of routes, for the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from amoc.service.problems import MIME, ProblemBody

_ALWAYS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_ALWAYS_LATER = (
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def responses(*problems: HTTPStatus, **kinds: type[BaseModel]) -> dict[str | int | HTTPStatus, Any]:
    """Return the responses of a route.

    Args:
        problems: Additional statuses of problems, besides those that all routes share.
        kinds: Types of successful responses, by status: ``ok=…``, ``accepted=…``.
    """
    made: dict[str | int | HTTPStatus, Any] = {
        str(int(HTTPStatus[name.upper()])): kind for name, kind in kinds.items()
    }
    for status in (*_ALWAYS, *problems, *_ALWAYS_LATER):
        schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
        made[str(int(status))] = {
            "description": status.phrase,
            "content": {MIME: {"schema": schema}},
        }
    return made


def of_run(**kinds: type[BaseModel]) -> dict[str | int | HTTPStatus, Any]:
    """Return the responses of a route for a run, which may not exist or be in another state."""
    return responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, **kinds)


PAGE: dict[str | int | HTTPStatus, Any] = {
    "200": {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
}
NOTHING: dict[str | int | HTTPStatus, Any] = {"204": None}
FILE: dict[str | int | HTTPStatus, Any] = {
    "200": {
        "description": "A file",
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}
