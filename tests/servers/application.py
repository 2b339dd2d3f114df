"""A small web application for HTTP tests: a shop, an API with tokens, a file store, peers.

It is a program: ``python application.py PORT``. State lasts as long as the process.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

TOKEN_S = 1.0
"""How long a token is valid."""
EVERY_NTH_REFUSED = 3
"""One payment in this many is refused."""

Answer = tuple[int, object]
Handler = Callable[..., Answer]
numbers = itertools.count(1)
sessions: dict[str, str] = {}
visits: set[str] = set()
"""CSRF tokens of login forms that were served and have not been submitted yet."""
tokens: dict[str, float] = {}
orders: dict[int, dict[str, Any]] = {}
files: dict[str, int] = {}
online: dict[str, str] = {}


class Request:
    """A request, as passed to a handler."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.query = {name: one[0] for name, one in parse_qs(environ["QUERY_STRING"]).items()}
        self.cookies = {
            name: one.value for name, one in SimpleCookie(environ.get("HTTP_COOKIE", "")).items()
        }
        self.headers: list[tuple[str, str]] = []

    def body(self) -> bytes:
        return bytes(self.environ["wsgi.input"].read())

    def json(self) -> Any:
        return json.loads(self.body())

    @property
    def is_logged_in(self) -> bool:
        return self.cookies.get("session") in sessions

    @property
    def is_authorized(self) -> bool:
        token = self.environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        return tokens.get(token, 0.0) > time.monotonic()


def login(request: Request) -> Answer:
    session = secrets.token_hex(8)
    sessions[session] = request.json()["name"]
    request.headers.append(("Set-Cookie", f"session={session}; Path=/; HttpOnly"))
    return 200, {"hello": sessions[session]}


PAGE = "<!doctype html><html><head><title>{title}</title>{head}</head><body>{body}</body></html>"
FORM = """<form method="post" action="/enter"><input type="hidden" name="csrf" value="{csrf}">
<input name="name"><input type="password" name="password"><button>Log in</button></form>
<img src="{tracker}/pixel.png">"""
CATALOG = """<button id="order">Order</button><p id="said"></p><script>
document.getElementById("order").onclick = async () => {
  const answer = await fetch("/token", { method: "POST", body: new URLSearchParams({ secret }) });
  const authorization = `Bearer ${(await answer.json()).access_token}`;
  const headers = { authorization, "content-type": "application/json" };
  const body = JSON.stringify({ item: 7, note: "as a gift" });
  const made = await (await fetch("/orders", { method: "POST", headers, body })).json();
  const path = `/orders/${made.order.id}`;
  await fetch(path, { headers });
  await fetch(path, { headers, method: "DELETE" });
  document.getElementById("said").textContent = "done";
};
const secret = "secret";
</script>"""
PASSWORD = "hunter2 is mine"


def entrance(request: Request) -> Answer:
    csrf = secrets.token_hex(16)
    visits.add(csrf)
    form = FORM.format(csrf=csrf, tracker=request.query.get("tracker", ""))
    return 200, PAGE.format(title="The shop", head="<link rel=stylesheet href=/s.css>", body=form)


def enter(request: Request) -> Answer:
    form = {name: one[0] for name, one in parse_qs(request.body().decode()).items()}
    if form.get("csrf") not in visits or form.get("password") != PASSWORD:
        return 403, {}
    visits.discard(form["csrf"])
    session = secrets.token_hex(8)
    sessions[session] = form["name"]
    request.headers.append(("Set-Cookie", f"session={session}; Path=/; HttpOnly"))
    request.headers.append(("Location", "/catalog"))
    return 303, None


def catalog(request: Request) -> Answer:
    if not request.is_logged_in:
        return 403, {}
    return 200, PAGE.format(title="Catalog", head="", body=CATALOG)


def item(request: Request, number: str) -> Answer:
    return (200, {"item": int(number), "price": 5}) if request.is_logged_in else (403, {})


def cart(request: Request) -> Answer:
    request.json()
    return (200, {}) if request.is_logged_in else (403, {})


def pay(request: Request) -> Answer:
    if not request.is_logged_in:
        return 403, {}
    return (402, {}) if next(numbers) % EVERY_NTH_REFUSED == 0 else (200, {})


def token(request: Request) -> Answer:
    form = parse_qs(request.body().decode())
    if form.get("secret") != ["secret"]:
        return 403, {}
    made = secrets.token_hex(8)
    tokens[made] = time.monotonic() + TOKEN_S
    return 200, {"access_token": made}


def new_order(request: Request) -> Answer:
    if not request.is_authorized:
        return 401, {}
    number = next(numbers)
    orders[number] = {"id": number, **request.json()}
    return 201, {"order": orders[number]}


def order(request: Request, number: str) -> Answer:
    if int(number) not in orders:
        return 404, {}
    if request.environ["REQUEST_METHOD"] == "DELETE":
        del orders[int(number)]
        return 204, None
    return 200, {"order": orders[int(number)]}


def picture(request: Request) -> Answer:
    body = request.body()
    good = b'filename="' in body and b"\x89PNG" in body and b'name="title"' in body
    return (201, {}) if good else (400, {})


def file(request: Request, name: str) -> Answer:
    method = request.environ["REQUEST_METHOD"]
    if method == "PUT":
        files[name] = len(request.body())
        return 201, {}
    if name not in files:
        return 404, {}
    if method == "DELETE":
        del files[name]
        return 204, None
    return 200, bytes(files[name])


def presence(request: Request, number: str) -> Answer:
    if request.environ["REQUEST_METHOD"] == "DELETE":
        online.pop(number, None)
    else:
        online[number] = request.json()["jid"]
    return 204, None


def peer(request: Request) -> Answer:
    others = [jid for number, jid in online.items() if number != request.query["of"]]
    return 200, {"jid": others[next(numbers) % len(others)] if others else None}


def received(request: Request) -> Answer:
    request.json()
    return 202, {}


ROUTES: list[tuple[str, Handler]] = [
    (r"GET /", entrance),
    (r"GET /trace", lambda one: (200, one.environ.get("HTTP_TRACEPARENT", "").encode())),
    (r"POST /enter", enter),
    (r"GET /catalog", catalog),
    (r"GET /(?:s.css|pixel.png|favicon.ico)", lambda _: (200, b"")),
    (r"POST /login", login),
    (r"GET /item/(\d+)", item),
    (r"POST /cart", cart),
    (r"POST /pay", pay),
    (r"POST /token", token),
    (r"POST /orders", new_order),
    (r"(?:GET|DELETE) /orders/(\d+)", order),
    (r"POST /pictures", picture),
    (r"(?:GET|PUT|DELETE) /files/([\w.-]+)", file),
    (r"(?:PUT|DELETE) /online/(\d+)", presence),
    (r"GET /peer", peer),
    (r"POST /received", received),
]


def encoded(said: object) -> tuple[str, bytes]:
    """Return the media type and the bytes of an answer."""
    if isinstance(said, bytes):
        return "application/octet-stream", said
    if isinstance(said, str):
        return "text/html; charset=utf-8", said.encode()
    return "application/json", b"" if said is None else json.dumps(said).encode()


def application(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    request = Request(environ)
    asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    status, said = 404, None
    for pattern, handler in ROUTES:
        if found := re.fullmatch(pattern, asked):
            status, said = handler(request, *found.groups())
            break
    kind, body = encoded(said)
    headers = [("Content-Type", kind), *request.headers]
    if status != 204:
        headers.append(("Content-Length", str(len(body))))
    start(f"{status} .", headers)
    return [body] if body else []


if __name__ == "__main__":
    from gevent.pywsgi import WSGIServer

    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()
