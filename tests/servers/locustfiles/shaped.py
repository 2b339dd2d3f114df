"""Users whose number and classes follow a load shape."""

from locust import HttpUser, LoadTestShape, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        self.client.get("/hello", name=f"begin {type(self).__name__}")

    @task
    def look(self):
        self.client.get("/item/1")


class Late(Visitor):
    weight = 5


class UpAndDown(LoadTestShape):
    stages = ((1.5, 3, [Visitor]), (3, 1, None), (4.5, 4, [Late]))

    def tick(self):
        run_time = self.get_run_time()
        for until, users, classes in self.stages:
            if run_time < until:
                return (users, 10, classes) if classes else (users, 10)
        return None
