"""Users publish to their own topic, to which they have subscribed, and wait for each message.

pip install paho-mqtt
amoc run scenarios/protocols/mqtt_publish.py --users 100 --duration 1m --set broker=127.0.0.1:1883
"""

import os
import select
from queue import Empty, Queue

from paho.mqtt.client import CallbackAPIVersion, Client

from amoc import check, expect, setting, step, user

broker = setting("127.0.0.1:1883", "Host and port of the broker")
login = setting("", "Name to log in with; {id} is the user's id")
password = setting("", "Password to log in with")
qos = setting(1, "Quality of service", verify=[0, 1, 2])
pause = setting(1.0, "Mean seconds between two messages", verify=lambda s: s > 0)
timeout = setting(10.0, "Timeout for answers from the broker, in seconds", verify=lambda s: s > 0)

expect("crashes == 0")


def start(user_id):
    # Brokers disconnect a client when another one connects with the same id.
    name = f"amoc-{os.getpid()}-{user_id}"
    with step("connect"):
        client = Connection(name, user_id)
    try:
        topic = f"amoc/{name}"
        with step("subscribe"):
            client.subscribe(topic)
        number = 0
        while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
            number += 1
            text = f"message {number}".encode()
            with step("message"):
                client.publish(topic, text)
                arrived = client.receive()
            check("it is the message", arrived == text, f"expected {text!r}, got {arrived!r}")
    finally:
        client.close()


class Connection:
    """paho's client, with its network loop in a greenlet of the user.

    paho's own loops use select(), which is limited to descriptors below 1,024, and need two more
    descriptors per user.
    """

    def __init__(self, name, user_id):
        self._messages = Queue()
        self._answers = Queue()
        self._client = client = Client(CallbackAPIVersion.VERSION2, client_id=name)
        if login.get():
            client.username_pw_set(login.get().replace("{id}", str(user_id)), password.get())
        client.on_connect = lambda *told: self._answers.put(told[3])
        client.on_subscribe = lambda *told: self._answers.put(told[3][0])
        client.on_message = lambda _client, _data, one: self._messages.put(one.payload)
        client.on_disconnect = lambda *told: self._messages.put(ConnectionError(str(told[3])))
        client.connect_timeout = timeout.get()
        host, _, port = broker.get().rpartition(":")
        client.connect(host, int(port))
        self._greenlet = user.spawn(self._serve)
        self._wait("connect")

    def subscribe(self, topic):
        """Subscribe, and wait for the broker's confirmation."""
        self._client.subscribe(topic, qos.get())
        self._wait("subscribe")

    def publish(self, topic, payload):
        """Publish bytes."""
        self._client.publish(topic, payload, qos.get())

    def receive(self):
        """Return the next message.

        Raises:
            ConnectionError: The connection is lost.
            TimeoutError: No message arrived in time.
        """
        try:
            message = self._messages.get(timeout=timeout.get())
        except Empty:
            raise TimeoutError(f"no message within {timeout.get():g} s") from None
        if isinstance(message, ConnectionError):
            raise message
        return message

    def close(self):
        """Disconnect."""
        self._client.disconnect()
        self._greenlet.kill()
        if (socket := self._client.socket()) is not None:
            socket.close()

    def _wait(self, what):
        try:
            reason = self._answers.get(timeout=timeout.get())
        except Empty:
            raise TimeoutError(f"{what}: no answer within {timeout.get():g} s") from None
        if reason.is_failure:
            raise ConnectionError(f"{what}: {reason}")

    def _serve(self):
        """Send and receive paho's packets while there is a connection."""
        client = self._client
        while (socket := client.socket()) is not None:
            wanted = select.POLLIN | select.POLLOUT if client.want_write() else select.POLLIN
            poller = select.poll()
            poller.register(socket, wanted)
            # Once a second, let paho check whether a ping is due.
            for _, event in poller.poll(1000):
                if event & ~select.POLLOUT:
                    client.loop_read()
                if event & select.POLLOUT:
                    client.loop_write()
            client.loop_misc()
