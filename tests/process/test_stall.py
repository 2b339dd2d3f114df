"""A target that freezes: response times show it, service times hide it."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.process.support import running

pytestmark = pytest.mark.slow

STALL_S = 2.0
USERS, TURNS, RATE = 4, 150, 200

ASKING = """
    import socket
    from amoc import metrics, setting, throttle

    port = setting(0, "Where the target listens")

    def init():
        throttle.start("asks", {rate}, 1)

    def start(user_id):
        with socket.create_connection(("127.0.0.1", port.get())) as target:
            for _ in range({turns}):
                throttle.wait("asks")
                with metrics.timer("ask").time():
                    target.sendall(b"?")
                    assert target.recv(1) == b"!"
    """


class Target:
    """A server that answers each byte with another, and once freezes for a while.

    Attributes:
        port: The port on which it listens.
    """

    def __init__(self, stall_at: int) -> None:
        self._stall_at = stall_at
        self._asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._waker, self._wakened = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for one in (self._listener, self._wakened):
            self._selector.register(one, selectors.EVENT_READ)
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Answer until `stop`."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wakened:
                    return
                if key.fileobj is self._listener:
                    self._selector.register(self._listener.accept()[0], selectors.EVENT_READ)
                else:
                    self._answer(key.fileobj)

    def _answer(self, user: socket.socket) -> None:
        asked = user.recv(1)
        if not asked:
            self._selector.unregister(user)
            user.close()
            return
        self._asked += 1
        if self._asked == self._stall_at:
            time.sleep(STALL_S)  # the stall under test
        user.sendall(b"!")

    def stop(self) -> None:
        """Let `serve` return."""
        self._waker.send(b".")

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._waker.close()
        self._selector.close()


@contextmanager
def target(stall_at: int) -> Iterator[Target]:
    made = Target(stall_at)
    server = threading.Thread(target=made.serve)
    server.start()
    try:
        yield made
    finally:
        made.stop()
        server.join()
        made.close()


def test_a_stall_shows_in_response_times_but_not_in_service_times(scenario, tmp_path):
    file = scenario(ASKING.format(rate=RATE, turns=TURNS))
    with target(stall_at=USERS * TURNS // 2) as frozen:
        settings = {"port": frozen.port, "user_rate": "infinity", "repeat_num": 1}
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        arguments = ("--users", str(USERS), "--workers", "2", *words)
        with running(file, *arguments, directory=tmp_path) as run:
            assert run.end() == 0, run.output
            timers = run.summary()["timers"]
    service, response = timers["ask"], timers["ask.response"]
    assert service["count"] == USERS * TURNS
    assert service["max_s"] >= STALL_S - 0.1  # it did freeze
    # At most one turn of each user was in progress, which is less than a hundredth of all.
    assert service["p99_s"] < STALL_S / 2
    assert response["p99_s"] > STALL_S / 2
    # All users together would have made some RATE * STALL_S turns meanwhile.
    added = response["count"] - service["count"]
    assert RATE * STALL_S / 2 < added < RATE * STALL_S * 1.5
