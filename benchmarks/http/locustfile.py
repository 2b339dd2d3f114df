"""Run by Locust, and unchanged by amoc, in `benchmarks.http`; equals its scenario for amoc."""

import itertools
import os
from typing import Any

from locust import FastHttpUser, HttpUser, constant, task

numbers = itertools.count()
Base: Any = HttpUser if os.environ.get("BENCHMARK_USER") == "HttpUser" else FastHttpUser


class Visitor(Base):
    """Fetches pages as fast as it can."""

    wait_time = constant(0)
    insecure = True

    @task
    def visit(self):
        """Fetch one page."""
        path = f"/item/{next(numbers) % 100}"
        with self.client.get(path, name="/item/[id]", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure("status")
