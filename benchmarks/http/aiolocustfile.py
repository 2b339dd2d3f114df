"""Run by aiolocust, in `benchmarks.http`; equals its scenario for amoc."""

import itertools

from aiolocust import HttpUser

numbers = itertools.count()


class Visitor(HttpUser):
    """Fetches pages as fast as it can."""

    async def run(self):
        """Fetch one page; aiolocust calls this again and again, and reads the body."""
        path = f"/item/{next(numbers) % 100}"
        async with self.client.get(path, name="GET /item/[id]", ssl=False) as answer:
            if answer.status != 200:
                answer.error = "status"
