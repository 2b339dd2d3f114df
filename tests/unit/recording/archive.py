"""Builds HAR files for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)
SHOP = "http://shop.test"


def entry(
    method: str,
    url: str,
    at: float = 0.0,
    *,
    status: int = 200,
    answer: object = "",
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
    answer_headers: dict[str, str] | None = None,
    json_body: object = None,
    form: str | None = None,
    post: dict[str, Any] | None = None,
    page: str | None = None,
) -> dict[str, Any]:
    """Return a HAR entry; times are in seconds."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    request: dict[str, Any] = {
        "method": method,
        "url": url if "://" in url else f"{SHOP}{url}",
        "headers": [{"name": name, "value": value} for name, value in (headers or {}).items()],
    }
    if json_body is not None:
        post = {"mimeType": "application/json", "text": json.dumps(json_body)}
    if form is not None:
        post = {"mimeType": "application/x-www-form-urlencoded", "text": form}
    if post is not None:
        request["postData"] = post
    said = [{"name": name, "value": value} for name, value in (answer_headers or {}).items()]
    made = {
        "startedDateTime": (BEGAN + timedelta(seconds=at)).isoformat(),
        "time": 10.0,
        "request": request,
        "response": {
            "status": status,
            "headers": said,
            "content": {"mimeType": kind, "text": text},
        },
    }
    return {**made, "pageref": page} if page else made


def archive(*entries: dict[str, Any], pages: dict[str, str] | None = None) -> bytes:
    """Return a HAR file."""
    listed = [{"id": one, "title": title} for one, title in (pages or {}).items()]
    return json.dumps({"log": {"version": "1.2", "pages": listed, "entries": entries}}).encode()
