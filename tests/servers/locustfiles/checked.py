"""Responses that are checked before they are counted, in both ways of checking."""

from locust import FastHttpUser, HttpUser, constant, tag, task
from locust.exception import StopUser
from requests.exceptions import HTTPError


class Limited:
    wait_time = constant(0)
    turns = 0

    def turn(self):
        self.turns += 1
        if self.turns > 5:
            raise StopUser


class Careful(Limited, HttpUser):
    fixed_count = 1

    @task
    @tag("right")
    def look(self):
        self.turn()
        with self.client.get("/down", catch_response=True, name="expected to be down") as answer:
            if answer.status_code == 503:
                answer.success()
        with self.client.get("/hello", catch_response=True) as answer:
            if "goodbye" not in answer.text:
                answer.failure("no goodbye")
        with self.client.get("/away", allow_redirects=False, catch_response=True) as answer:
            if answer.status_code != 302 or "location" not in answer.headers:
                answer.failure("not sent away")
        self.client.get("/away", params={"from": "here", "to": None})
        try:
            self.client.get("/down").raise_for_status()
        except HTTPError as error:
            if error.response.status_code != 503:
                raise
        with self.client.rename_request("renamed"):
            self.client.get("/item/1")


class Fast(Limited, FastHttpUser):
    fixed_count = 2

    @task
    @tag("right")
    def look(self):
        self.turn()
        with self.rest("GET", "/hello") as answer:
            assert answer.js is not None, "no JSON"
        self.client.post("/upload", data={"a": "b"}, headers={"X-A": "b"}, auth=("ann", "secret"))
        with self.client.get("http://127.0.0.1:9/", name="nobody", catch_response=True) as answer:
            if answer.status_code == 0:
                answer.failure("nobody is there")
        assert self.client.get("/item/7?of=1").text.startswith("item /item/7 from 127.0.0.1")

    @task
    @tag("wrong")
    def never(self):
        self.client.get("/never")
