"""A shopper that views items more often than it buys, and then leaves."""

import random

from locust import HttpUser, between, events, task
from locust.exception import StopUser

TURNS = 40


@events.test_start.add_listener
def same_choice_each_time(environment, **_):
    random.seed(20)


class Shopper(HttpUser):
    wait_time = between(0.001, 0.002)

    def on_start(self):
        self.turns = 0
        self.client.post("/login", json={"name": "ann"})
        self.client.headers["X-Shopper"] = "ann"

    @task(9)
    def look(self):
        self.done()
        answer = self.client.get(f"/item/{random.randrange(1000)}", name="/item/[id]")
        assert answer.json()["price"] == 5

    @task(3)
    def fill_cart(self):
        self.done()
        self.client.post("/cart", json={"item": 1})

    @task
    def ask_for_what_is_not_there(self):
        self.done()
        self.client.get("/no/such/page")

    def done(self):
        self.turns += 1
        if self.turns > TURNS:
            raise StopUser

    def on_stop(self):
        self.client.get("/bye", name="leaving")
