"""Users keep a WebSocket open, send texts, and wait for an answer to each.

pip install wsproto
amoc run scenarios/protocols/websocket_echo.py --users 100 --duration 1m --set url=ws://127.0.0.1:8765/
"""

import ssl
from socket import create_connection
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from amoc import check, expect, metrics, setting, step, user

url = setting("ws://127.0.0.1:8765/", "Address of the server: ws:// or wss://")
pause = setting(1.0, "Mean seconds between two messages", verify=lambda s: s > 0)
timeout = setting(10.0, "Timeout for an answer, in seconds", verify=lambda s: s > 0)

# One context for all users of a worker, as creating one takes 30 ms.
TLS = ssl.create_default_context()
expect("crashes == 0")


def start(user_id):
    with step("connect"):
        socket = WebSocket(url.get(), timeout.get())
    with socket:
        number = 0
        while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
            number += 1
            text = f"message {number} of user {user_id}"
            with step("message"):
                socket.send(text)
                answer = socket.receive()
            check("the answer is ours", answer == text, f"expected {text!r}, got {answer!r}")


class WebSocket:
    """A connection; wsproto implements the protocol, this class does the I/O."""

    def __init__(self, address, timeout):
        parts = urlsplit(address)
        is_secure = parts.scheme == "wss"
        port = parts.port or (443 if is_secure else 80)
        self._socket = create_connection((parts.hostname, port), timeout)
        try:
            if is_secure:
                self._socket = TLS.wrap_socket(self._socket, server_hostname=parts.hostname)
            self._connection = WSConnection(ConnectionType.CLIENT)
            self._events = self._connection.events()
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            self._send(Request(host=parts.netloc.rpartition("@")[2], target=target))
            if not isinstance(self._next(), AcceptConnection):
                raise ConnectionError("the server did not accept the WebSocket")
        except BaseException:
            self._socket.close()
            raise

    def send(self, text):
        """Send a text."""
        self._send(TextMessage(data=text))

    def receive(self):
        """Return the next message, which may arrive in several parts.

        Raises:
            ConnectionError: The server has closed the connection.
            TimeoutError: Nothing arrived in time.
        """
        parts = []
        while True:
            event = self._next()
            if isinstance(event, TextMessage | BytesMessage):
                parts.append(event.data)
                if event.message_finished:
                    return parts[0][:0].join(parts)

    def _next(self):
        """Return the next event other than housekeeping."""
        while True:
            for event in self._events:
                if isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, CloseConnection):
                    raise ConnectionError(f"closed by the server ({event.code}): {event.reason}")
                elif isinstance(event, RejectConnection):
                    raise ConnectionError(f"refused with status {event.status_code}")
                else:
                    return event
            received = self._socket.recv(65_536)
            metrics.counter("bytes_received").inc(len(received))
            self._connection.receive_data(received or None)
            self._events = self._connection.events()

    def _send(self, event):
        self._socket.sendall(self._connection.send(event))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._send(CloseConnection(code=1000))
        except OSError:
            pass  # it is closed already
        finally:
            self._socket.close()
