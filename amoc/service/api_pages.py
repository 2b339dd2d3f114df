"""The OpenAPI document, and pages to explore the API. All assets are served from this host."""

from __future__ import annotations

from pathlib import Path

import flask_openapi3_swagger
from flask import Response, jsonify, redirect, send_from_directory
from flask_openapi3 import OpenAPI
from werkzeug.wrappers import Response as BaseResponse

from amoc.service.guard import POLICY
from amoc.service.service import Service

_ASSETS = Path(flask_openapi3_swagger.__file__).parent / "templates" / "swagger"
_FILES = ("css/swagger-ui.css", "js/swagger-ui-bundle.js")
# Swagger UI puts style attributes into its pages.
_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>amoc: API</title>
<link rel="stylesheet" href="/api-docs/css/swagger-ui.css">
</head>
<body>
<main id="api"></main>
<script src="/api-docs/js/swagger-ui-bundle.js"></script>
<script src="/api-docs/start.js"></script>
</body>
</html>
"""
_START = """"use strict";
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
"""


def register(app: OpenAPI, service: Service) -> None:  # noqa: ARG001 - same for all parts
    """Add the routes."""

    @app.get("/openapi.json", doc_ui=False)
    def openapi_json() -> Response:
        return jsonify(app.api_doc)

    @app.get("/api-docs", doc_ui=False)
    def api_docs() -> Response:
        return Response(_PAGE, mimetype="text/html", headers={"Content-Security-Policy": _POLICY})

    @app.get("/api-docs/", doc_ui=False)
    def api_docs_slash() -> BaseResponse:
        return redirect("/api-docs")

    @app.get("/api-docs/start.js", doc_ui=False)
    def api_docs_start() -> Response:
        return Response(_START, mimetype="text/javascript")

    for file in _FILES:
        app.add_url_rule(f"/api-docs/{file}", f"api_docs_{file}", lambda file=file: _asset(file))


def _asset(file: str) -> Response:
    answer = send_from_directory(_ASSETS, file, max_age=86_400)
    answer.headers["Cache-Control"] = "public, max-age=86400"
    return answer
