"""A reader of a forum: threads within boards, and a sequence of steps to create an account."""

from locust import HttpUser, SequentialTaskSet, TaskSet, constant, task
from locust.exception import RescheduleTask, StopUser


class Thread(TaskSet):
    def on_start(self):
        self.client.get("/hello", name="open thread")
        self.read = 0

    @task
    def read_a_page(self):
        self.client.get("/hello", name="page")
        self.read += 1
        if self.read == 3:
            self.interrupt(reschedule=False)

    def on_stop(self):
        self.client.get("/hello", name="close thread")


class Board(TaskSet):
    tasks = {Thread: 2}  # noqa: RUF012 - as locustfiles have it

    def on_start(self):
        self.threads = 0

    def wait_time(self):
        self.threads += 1
        if self.threads == 2:
            self.interrupt()
        return 0


class Account(SequentialTaskSet):
    @task
    def ask(self):
        self.client.get("/hello", name="ask for an account")

    @task
    def stumble(self):
        self.client.get("/hello", name="stumble")
        raise RescheduleTask

    @task
    class Terms(TaskSet):
        @task
        def read(self):
            self.client.get("/hello", name="read the terms")
            self.interrupt()

    @task
    def leave(self):
        self.parent.visits += 1
        if self.parent.visits == 3:
            raise StopUser
        self.interrupt()


class Reader(HttpUser):
    wait_time = constant(0)
    visits = 0
    turn = 0

    @task
    def choose(self):
        self.turn += 1
        (Board if self.turn % 2 else Account)(self).run()
