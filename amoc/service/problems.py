"""Errors as problem documents (RFC 9457), with the invalid fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus

from flask import Flask, Response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from amoc.base.errors import AmocError, ExitCode
from amoc.base.text import printable
from amoc.service.field_errors import field_errors

log = logging.getLogger(__name__)

MIME = "application/problem+json"
MAX_ERRORS = 50

_STATUS = {
    ExitCode.USAGE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.SETTING: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.SCENARIO: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.INIT_FAILED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.INIT_TIMEOUT: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.RESOURCE: HTTPStatus.SERVICE_UNAVAILABLE,
    ExitCode.NODE_LOST: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""HTTP statuses for amoc's exit codes; any other code is an internal error."""


_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path; see /api-docs",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not support the method; see the header Allow",
}
"""Details for requests that no route has handled."""


class FieldError(BaseModel):
    """A problem with one field."""

    field: str = Field(description="Path of the field in the body, the query or the path")
    detail: str = Field(description="The problem with it")


class ProblemBody(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="Always about:blank: the status is the type of problem")
    title: str = Field(description="The status as text")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="The problem, as a message for people")
    errors: list[FieldError] = Field(description="The invalid fields; may be empty")
    exit_code: int | None = Field(
        default=None, description="The exit code of amoc on the command line for this error"
    )


class Problem(Exception):
    """A request that is refused."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: str | Sequence[tuple[str, str]] = (),
        headers: Sequence[tuple[str, str]] = (),
        exit_code: ExitCode | None = None,
    ) -> None:
        """Create the problem.

        Args:
            status: The HTTP status.
            detail: What is wrong.
            errors: Problems with fields; or the only field, which `detail` is about.
            headers: Headers of the response.
            exit_code: The exit code of amoc for this error.
        """
        super().__init__(detail)
        self.exit_code = exit_code
        self.status = status
        self.detail = detail
        self.errors = [(errors, detail)] if isinstance(errors, str) else errors
        self.headers = headers

    def response(self) -> Response:
        """Return the response to the request."""
        body: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "errors": [
                {"field": name, "detail": detail} for name, detail in self.errors[:MAX_ERRORS]
            ],
        }
        if self.exit_code is not None:
            body["exit_code"] = int(self.exit_code)
        answer = Response(json.dumps(body) + "\n", int(self.status), mimetype=MIME)
        for name, value in self.headers:
            answer.headers.add(name, value)
        return answer


def not_found(what: str, name: str, field: str, more: str = "") -> Problem:
    """Return the problem of a name that does not exist; `more` is appended to the message."""
    detail = f"there is no {what} {name[:100]!r}{more}"
    return Problem(HTTPStatus.NOT_FOUND, detail, field)


def conflict(detail: str, field: str | None = None) -> Problem:
    """Return the problem of a request that conflicts with the current state."""
    return Problem(HTTPStatus.CONFLICT, detail, field or ())


def unprocessable(detail: str, field: str) -> Problem:
    """Return the problem of an invalid field."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field)


def unavailable(detail: str) -> Problem:
    """Return the problem of something that the server cannot do now."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)


def of_error(error: AmocError, field: str | None = None) -> Problem:
    """Return the problem for an amoc error, with a field error for each line of its message."""
    status = _STATUS.get(error.exit_code, HTTPStatus.INTERNAL_SERVER_ERROR)
    lines = str(error).splitlines() or ["internal error of amoc"]
    errors = [(field, line) for line in lines] if field else ()
    return Problem(status, "\n".join(lines), errors, exit_code=error.exit_code)


def of_validation(error: ValidationError) -> Problem:
    """Return the problem for invalid fields of a request."""
    errors = field_errors(error.errors(include_url=False))
    first = " ".join(errors[0]) if errors else "the request is invalid"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, first + more, errors)


def handle(app: Flask) -> None:
    """Have `app` answer errors with problem documents."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(AmocError, lambda error: of_error(error).response())
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_defect)


def _of_http(error: HTTPException) -> HTTPException | Response:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error  # a redirection
    status = HTTPStatus(error.code)
    detail = _DETAILS.get(status) or error.description or status.phrase
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"a body must have at most {request.max_content_length:,} bytes at this path"
    answer = Problem(status, detail).response()
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _of_defect(error: Exception) -> Response:
    # Escape the path, so that clients cannot forge lines of the log.
    log.error("%s %s", request.method, printable(request.path), exc_info=error)
    detail = "internal error of amoc; the server's log has the traceback"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail).response()
