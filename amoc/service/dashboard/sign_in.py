"""Signing in: the browser keeps a token in a cookie that scripts cannot read."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_openapi3 import OpenAPI

from amoc.service import guard
from amoc.service.dashboard.pages import page
from amoc.service.service import Service

_OURS = re.compile(r"/(?:[!-.0-\[\]-~][!-~]*)?")


def register(app: OpenAPI, service: Service) -> None:  # noqa: ARG001 - same for all parts
    """Add the routes."""

    @app.route(guard.SIGN_IN)
    def sign_in_page() -> Any:
        return page("sign_in.html", to=way_back(request.args.get("to", "")))

    @app.route(guard.SIGN_IN, methods=["POST"])
    def sign_in() -> Any:
        body = request.get_json()
        token = body.get("token") if isinstance(body, dict) else None
        guard.token_checker(app).role(token if isinstance(token, str) else "")
        answer = Response(status=HTTPStatus.NO_CONTENT)
        answer.set_cookie(
            guard.COOKIE, str(token), secure=request.is_secure, httponly=True, samesite="Strict"
        )
        return answer

    @app.route("/dashboard/sign-out", methods=["POST"])
    def sign_out() -> Any:
        answer = Response(status=HTTPStatus.NO_CONTENT)
        answer.delete_cookie(guard.COOKIE, httponly=True, samesite="Strict")
        return answer


def way_back(to: str) -> str:
    r"""Return where to go after signing in, which must be a page of this server.

    Browsers remove tabs and line ends, and treat \ as /. So //, /\ and / with a tab before another
    / all start a URL on another host.
    """
    return to if _OURS.fullmatch(to) else "/"
