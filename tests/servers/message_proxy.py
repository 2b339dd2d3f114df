"""A proxy between users and an XMPP server that drops, duplicates, swaps and delays messages.

    message_proxy.py LISTEN TARGET HOLD

What happens to a message depends only on its number, which amoc puts into the message's id. So
only one thing happens to each message, and a test knows which. A swapped message is sent after the
next one of the same sender and recipient, a delayed one HOLD seconds later. On SIGTERM the proxy
prints what it did as a JSON list of (direction, action, pair, number, connection).
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from itertools import count

EVERY = 24
ACTIONS = {
    "up": {3: "drop", 9: "double", 15: "swap", 23: "hold"},
    "down": {6: "drop", 12: "double", 18: "swap", 21: "hold"},
}
MESSAGE = re.compile(rb"<message[\s>].*?</message>", re.DOTALL)
STAMP = re.compile(rb"id=['\"](amoc\.[^/'\"]*)/(\d+)\.")
did: list[tuple[str, str, str, int, int]] = []
numbers = count()


class OneWay:
    """One direction of a connection."""

    def __init__(
        self, direction: str, connection: int, writer: asyncio.StreamWriter, hold_s: float
    ) -> None:
        self.direction = direction
        self.connection = connection
        self.writer = writer
        self.hold_s = hold_s
        self.swapped: dict[bytes, bytes] = {}
        self.buffer = b""

    async def run(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                self.buffer += data
                self.pass_on()
                await self.writer.drain()
            self.writer.write(self.buffer)
            self.writer.write_eof()
        except OSError:
            self.writer.close()

    def pass_on(self) -> None:
        """Forward everything except what may be the beginning of a message."""
        at = 0
        for found in MESSAGE.finditer(self.buffer):
            self.writer.write(self.buffer[at : found.start()])
            self.take(found[0])
            at = found.end()
        rest = self.buffer[at:]
        begins = rest.find(b"<message")
        keep = len(rest) - begins if begins >= 0 else len(rest) - max(0, rest.rfind(b"<"))
        if begins < 0 and (not rest or b">" in rest[rest.rfind(b"<") :]):
            keep = 0
        self.writer.write(rest[: len(rest) - keep])
        self.buffer = rest[len(rest) - keep :]

    def take(self, message: bytes) -> None:
        stamp = STAMP.search(message)
        if stamp is None:
            self.writer.write(message)
            return
        pair, number = stamp[1], int(stamp[2])
        action = ACTIONS[self.direction].get(number % EVERY, "pass")
        did.append((self.direction, action, pair.decode(), number, self.connection))
        if action == "drop":
            return
        if action == "swap":
            self.swapped[pair] = message
            return
        if action == "hold":
            asyncio.get_running_loop().call_later(self.hold_s, self.writer.write, message)
            return
        self.writer.write(message * (2 if action == "double" else 1))
        self.writer.write(self.swapped.pop(pair, b""))


async def main(listen: int, target: int, hold_s: float) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = next(numbers)
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(
            OneWay("up", connection, back, hold_s).run(reader),
            OneWay("down", connection, writer, hold_s).run(there),
        )
        back.close()
        writer.close()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(handle, "127.0.0.1", listen)
    await stop.wait()
    server.close()
    print(json.dumps(did), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
