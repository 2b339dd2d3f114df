"""A custom client that reports its requests, and listeners to all of them."""

import time
from collections import Counter

from locust import User, constant, events, task
from locust.exception import StopUser

heard = Counter()


class Refused(Exception):
    pass


class Calculator:
    def __init__(self, events):
        self._request = events.request

    def add(self, a, b):
        begun = time.perf_counter()
        error = None if a + b < 4 else Refused("too much")
        self._request.fire(
            request_type="calc",
            name="add",
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=2,
            exception=error,
            context={"who": "calculator"},
        )


class CalculatorUser(User):
    wait_time = constant(0)
    turns = 0

    def __init__(self, environment):
        super().__init__(environment)
        self.client = Calculator(environment.events)

    @task
    def add(self):
        self.turns += 1
        if self.turns > 8:
            raise StopUser
        self.client.add(self.turns % 4, 1)
        with self.environment.events.request.measure("calc", "measured") as details:
            details["response_length"] = 1
            if self.turns == 1:
                raise ZeroDivisionError("by zero")


@events.request.add_listener
def count(request_type, name, exception, context, **_):
    heard[name, exception is None, context.get("who")] += 1


@events.test_stop.add_listener
def tell(environment, **_):
    print("heard", sorted(heard.items(), key=str))
    print("failed", environment.stats.get("add", "calc").num_failures)


@events.quitting.add_listener
def decide(environment, **_):
    environment.process_exit_code = 7 if environment.stats.total.fail_ratio > 0.9 else 0
