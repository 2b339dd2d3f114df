"""Calls in init() work, or are refused with an error that names the call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amoc import coordinator, receive, send, throttle, user
from amoc.base.errors import AmocError
from amoc.ipc import rpc

CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "throttle.start": (lambda: throttle.start("u", 600), ""),
    "throttle.limit_concurrency": (lambda: throttle.limit_concurrency("p", 3), ""),
    "throttle.pause": (lambda: throttle.pause("t"), ""),
    "throttle.resume": (lambda: throttle.resume("t"), ""),
    "throttle.unlock": (lambda: throttle.unlock("t"), ""),
    "throttle.change_rate": (lambda: throttle.change_rate("t", 5), ""),
    "throttle.stages": (lambda: throttle.stages("t", "1s:5"), ""),
    "throttle.stop": (lambda: throttle.stop("t"), ""),
    "throttle.state": (lambda: throttle.state("t"), r"throttle\.state"),
    "throttle.wait": (lambda: throttle.wait("t"), "only users of a run can wait for"),
    "throttle.permit": (
        lambda: throttle.permit("t").__enter__(),
        "only users of a run can wait for",
    ),
    "throttle.run": (lambda: throttle.run("t", print), "only users of a run can wait for"),
    "throttle.send": (lambda: throttle.send("t", "x", 1), "only users of a run can wait for"),
    "coordinator.start": (lambda: coordinator.start("d", (2, lambda event: None)), ""),
    "coordinator.reset": (lambda: coordinator.reset("c"), ""),
    "coordinator.stop": (lambda: coordinator.stop("c"), ""),
    "coordinator.state": (lambda: coordinator.state("c"), r"coordinator\.state"),
    "coordinator.add": (lambda: coordinator.add("c"), r"coordinator\.add"),
    "coordinator.add another": (lambda: coordinator.add("c", 1, None), r"coordinator\.add"),
    "coordinator.barrier": (lambda: coordinator.barrier("b", 2), r"coordinator\.barrier"),
    "user.id": (lambda: user.id, r"amoc\.user"),
    "user.stopping": (lambda: user.stopping, r"amoc\.user"),
    "user.wait_stopping": (lambda: user.wait_stopping(0), r"amoc\.user"),
    "user.spawn": (lambda: user.spawn(print), r"amoc\.user"),
    "user.sleep": (lambda: user.sleep(0), ""),
    "send": (lambda: send(1, "x"), r"send\(\)"),
    "receive": (receive, r"receive\(\)"),
}


@pytest.fixture
def _in_init() -> Iterator[None]:
    with rpc.recording():
        throttle.start("t", 600)
        coordinator.start("c", (2, lambda event: None))
        yield
        for name in ("c", "d"):
            with contextlib.suppress(AmocError):
                coordinator.stop(name)


@pytest.mark.usefixtures("_in_init")
@pytest.mark.parametrize("name", CALLS)
def test_each_call_in_init_works_or_is_refused_by_name(name: str) -> None:
    call, refusal = CALLS[name]
    if refusal:
        with pytest.raises(AmocError, match=refusal):
            call()
    else:
        call()
