"""Scenario of `benchmarks.http`: users fetch pages as fast as they can."""

from amoc import http, setting, user

base = setting("http://127.0.0.1:8080", "Address of the server")
ca = setting("", "Certificate authority of the server")


def start(user_id):
    number = user_id
    with http.session(base.get(), timeout=30, ca=ca.get() or None) as session:
        while not user.stopping:
            number += 1
            answer = session.get(f"/item/{number % 100}", name="GET /item/[id]")
            answer.check(status=200)
            if not answer.ok:
                raise ValueError(answer.cause)
