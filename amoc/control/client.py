"""Sends commands to a run in another process, over its control socket. Blocking, without gevent."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, PeerError, UsageError
from amoc.base.json_plain import JsonObject
from amoc.base.unix_socket import reachable

MAX_ANSWER = 64 << 20
TIMEOUT_S = 90.0
"""Longer than any command may take, including the commands queued before it."""
CONNECT_S = 5.0


def request(
    path: Path, name: str, arguments: JsonObject, comment: str = "", timeout_s: float = TIMEOUT_S
) -> JsonObject:
    """Have the run behind socket `path` carry out a command; return its answer.

    Raises:
        UsageError: The run is not running.
        PeerError: The connection breaks, or there is no valid answer in time.
        AmocError: The run refuses; the exit code is the run's.
    """
    asked = {"command": name, "arguments": dict(arguments), "comment": comment}
    give_up_ns = now_ns() + int(timeout_s * S_NS)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(min(CONNECT_S, timeout_s))
        try:
            with reachable(path) as address:
                line.connect(address)
        except OSError as error:
            busy = isinstance(error, TimeoutError | BlockingIOError)
            what = "is too busy; try again" if busy else "is not running"
            raise UsageError(f"run {path.parent} {what}") from None
        try:
            # A server that rejects us says why before it closes, without reading our request.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(json.dumps(asked).encode() + b"\n")
            answer = _read_line(line, give_up_ns)
        except TimeoutError:
            raise PeerError(f"the run has not answered within {timeout_s:g} s") from None
        except OSError as error:
            raise PeerError(f"lost the connection to the run: {error.strerror or error}") from None
    return _decoded(answer)


def _read_line(line: socket.socket, give_up_ns: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while not parts or b"\n" not in parts[-1]:
        left_s = (give_up_ns - now_ns()) / S_NS
        if left_s <= 0:
            raise TimeoutError
        line.settimeout(left_s)
        data = line.recv(1 << 16)
        if not data:
            raise PeerError("the run ended before it answered")
        parts.append(data)
        size += len(data)
        if size > MAX_ANSWER:
            raise PeerError(f"the run's answer must have at most {MAX_ANSWER} bytes, got more")
    return b"".join(parts)


def _decoded(line: bytes) -> JsonObject:
    try:
        data = json.loads(line)
        if data["ok"]:
            return dict(data["answer"])
        text, code = str(data["error"]), int(data["exit_code"])
    except (ValueError, KeyError, TypeError):
        text = line[:60].decode(errors="replace")
        raise PeerError(f"the run's answer must be amoc's JSON, got {text!r}") from None
    raise AmocError(text).with_code(code)
