"""Work in separate processes with a deadline: scenario code, and CPU-intensive work.

The server imports no scenario, and its event loop must not block while a long run is read.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

import gevent
from flask import g, has_app_context
from gevent import subprocess
from gevent.lock import BoundedSemaphore

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, ExitCode, PeerError
from amoc.base.json_plain import JsonObject
from amoc.base.start_command import start_command
from amoc.service.cli_output import refusal
from amoc.service.problems import Problem
from amoc.service.tokens import Role

LOADING = "loading the scenario"
DESCRIBE_S = 30.0
READ_S = 120.0
MAX_OUTPUT = 64 << 20
MAX_PROCESSES = 2
WAIT_S = 30.0

_free = BoundedSemaphore(MAX_PROCESSES)
_free_for_readers = BoundedSemaphore(MAX_PROCESSES - 1)
"""Read-only clients leave one process to those who may start runs."""


def answer_of(module: str, *arguments: str, given: JsonObject | None = None) -> JsonObject:
    """Run a module of this package as a process, and return the JSON object that it answers.

    Args:
        module: ``describe``, ``intake`` or ``saved``, which call `isolated_main.main_of`.
        arguments: Arguments of its function.
        given: Sent to its standard input as JSON.

    Raises:
        AmocError: The error that it answered, or it did not answer in time.
        Problem: Too many such processes are running.
    """
    reads = module == "saved"
    what, deadline_s = ("reading the run", READ_S) if reads else (LOADING, DESCRIBE_S)
    with _started(f"{__package__}.{module}", arguments, what, deadline_s, given) as child:
        data = json.loads(_read(child) or b"null")
    if not isinstance(data, dict):
        raise PeerError(f"{what} failed: its process ended without an answer")
    if "error" in data:
        raise AmocError(str(data["error"])).with_code(data["exit_code"])
    return data


def cli_json(command: Sequence[str], target: Path, settings: JsonObject) -> JsonObject:
    """Run ``amoc COMMAND --json FILE -- TARGET``, and return the JSON object that it writes.

    Args:
        command: The command and its options.
        target: A scenario's file, or the directory of a run.
        settings: Values by name, sent through a pipe.

    Raises:
        AmocError: The command failed, or did not end in time.
        Problem: Too many such processes are running.
    """
    with TemporaryDirectory(prefix="amoc-answer-") as directory:
        answer = Path(directory) / "answer.json"
        arguments = [*command, "--set-json", "-", "--json", str(answer), "--", str(target)]
        with _started(
            "amoc.cli.child_main", arguments, LOADING, READ_S, settings, errors=True
        ) as child:
            said = _read(child).decode(errors="replace").splitlines()
            code = child.wait()
        if code != ExitCode.OK:
            raise refusal(said, code)
        made: JsonObject = json.loads(answer.read_bytes())
        return made


@contextmanager
def _started(
    module: str,
    arguments: Sequence[str],
    what: str,
    deadline_s: float,
    given: JsonObject | None,
    errors: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of amoc as a process, which is killed at the end of the block.

    Args:
        module: The module.
        arguments: Its arguments, after the id of this process.
        what: What it does, for messages.
        deadline_s: Time limit of the block.
        given: Sent to its standard input as JSON.
        errors: Whether its standard error is read as well.
    """
    with (
        _place(),
        subprocess.Popen(
            start_command(module, [str(os.getpid()), *arguments]),
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            process_group=0,
        ) as child,
    ):
        try:
            with gevent.Timeout(deadline_s):
                if child.stdin is not None:
                    with suppress(BrokenPipeError):  # it may exit without reading
                        child.stdin.write(json.dumps(given).encode())
                        child.stdin.close()
                yield child
        except gevent.Timeout:
            raise PeerError(f"{what} took longer than {deadline_s:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def _place() -> Iterator[None]:
    """Hold one of the limited process slots until the end of the block.

    Raises:
        Problem: No slot became free in time.
    """
    reads = has_app_context() and g.get("role") is Role.READ
    give_up_ns = now_ns() + int(WAIT_S * S_NS)
    with ExitStack() as places:
        for one in (_free_for_readers, _free) if reads else (_free,):
            if not one.acquire(timeout=max(0.0, (give_up_ns - now_ns()) / S_NS)):
                raise Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "the server is too busy; try again",
                    headers=[("Retry-After", "5")],
                )
            places.callback(one.release)
        yield


def _read(child: subprocess.Popen[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    assert child.stdout is not None
    while data := child.stdout.read(1 << 16):
        parts.append(data)
        size += len(data)
        if size > MAX_OUTPUT:
            raise PeerError(f"an answer must have at most {MAX_OUTPUT:,} bytes, got more")
    return b"".join(parts)
