"""Users that come and go as a load shape says."""

from locust import HttpUser, LoadTestShape, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        self.client.get("/hello", name="begin")

    @task
    def look(self):
        self.client.get("/item/1")


class UpAndDown(LoadTestShape):
    stages = ((1.5, 3), (3, 1), (4.5, 4))

    def tick(self):
        run_time = self.get_run_time()
        for until, users in self.stages:
            if run_time < until:
                return users, 10
        return None
