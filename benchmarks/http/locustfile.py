"""What `benchmarks.http` lets Locust run: the same as its scenario for amoc."""

import itertools

from locust import FastHttpUser, constant, task

numbers = itertools.count()


class Visitor(FastHttpUser):
    """Fetches pages as fast as it can."""

    wait_time = constant(0)
    insecure = True

    @task
    def visit(self):
        """One page."""
        path = f"/item/{next(numbers) % 100}"
        with self.client.get(path, name="/item/[id]", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure("status")
