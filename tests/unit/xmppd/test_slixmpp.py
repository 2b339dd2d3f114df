"""The server as seen by an independent client: unchanged slixmpp on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

from tests.unit.xmppd.sockets import PATIENCE_S, Daemon

pytestmark = [
    pytest.mark.slow,
    # Raised by slixmpp itself on newer interpreters; not ours to fix.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

UNENCRYPTED = ("unencrypted_plain", "unencrypted_scram")
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Shared by all clients: each would otherwise load the system's certificates again."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Daemon() as daemon:
        yield daemon.port


class Stock:
    """A stock client that records its events."""

    def __init__(self, port: int, user: str, password: str, mechanism: str, *plugins: str) -> None:
        from slixmpp import ClientXMPP

        self.xmpp: Any = ClientXMPP(
            user, password, sasl_mech=mechanism, ssl_context=CONTEXT,
            plugin_config={"feature_mechanisms": dict.fromkeys(UNENCRYPTED, True)},
        )  # fmt: skip
        self.xmpp.enable_starttls = False
        self.xmpp.enable_direct_tls = False
        self.xmpp.enable_plaintext = True
        for plugin in ("xep_0030", "xep_0077", "xep_0199", *plugins):
            self.xmpp.register_plugin(plugin)
        self.port = port
        self.events: dict[str, asyncio.Queue[Any]] = {}
        for event in (
            "session_start",
            "message",
            "message_error",
            "failed_auth",
            "changed_status",
            "disconnected",
            "groupchat_message",
            "pubsub_publish",
            "user_tune_publish",
        ):
            self.watch(event)

    def watch(self, event: str) -> None:
        """Record events of that name from now on."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.events[event] = queue
        self.xmpp.add_event_handler(event, queue.put_nowait)

    async def __aenter__(self) -> Self:
        self.xmpp.connect("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.xmpp.disconnect(), PATIENCE_S)

    async def next(self, event: str) -> Any:
        return await asyncio.wait_for(self.events[event].get(), PATIENCE_S)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 3 * PATIENCE_S)

    # In a thread: asyncio may already be running in this one, in a greenlet of another test.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(bounded())).result()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_slixmpp_logs_in_with_each_mechanism(port: int, mechanism: str) -> None:
    async def test() -> None:
        async with Stock(port, "user_1@localhost", "password_1", mechanism) as client:
            await client.next("session_start")
            assert client.xmpp.boundjid.bare == "user_1@localhost"
            await client.xmpp.plugin["xep_0199"].ping("localhost", timeout=PATIENCE_S)

    run(test)


def test_slixmpp_logs_in_anonymously(port: int) -> None:
    async def test() -> None:
        async with Stock(port, "localhost", "", "ANONYMOUS") as client:
            await client.next("session_start")
            assert client.xmpp.boundjid.user.startswith("anonymous-")

    run(test)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_slixmpp_is_refused_with_a_wrong_password(port: int, mechanism: str) -> None:
    async def test() -> None:
        async with Stock(port, "user_1@localhost", "wrong", mechanism) as client:
            failure = await client.next("failed_auth")
            assert failure["condition"] == "not-authorized"

    run(test)


def test_slixmpp_clients_chat_and_see_each_other(port: int) -> None:
    async def test() -> None:
        body = "hi <&>'\" \u00e9\U0001f600\n]]>"
        async with (
            Stock(port, "user_11@localhost/a", "password_11", "PLAIN") as one,
            Stock(port, "user_12@localhost/b", "password_12", "PLAIN") as two,
        ):
            for client in (one, two):
                await client.next("session_start")
                client.xmpp.send_presence()
                await client.xmpp.get_roster(timeout=PATIENCE_S)
                await client.next("changed_status")
            for to in ("user_12@localhost/b", "user_12@localhost"):
                one.xmpp.send_message(mto=to, mbody=body, mtype="chat")
                message = await two.next("message")
                assert message["body"] == body
                assert message["from"] == "user_11@localhost/a"
            # slixmpp grants and returns subscriptions automatically.
            one.xmpp.send_presence_subscription(pto="user_12@localhost")
            presence = await one.next("changed_status")
            assert presence["from"] == "user_12@localhost/b"
            assert one.xmpp.client_roster["user_12@localhost"]["to"]

    run(test)


def test_slixmpp_understands_errors_and_features(port: int) -> None:
    async def test() -> None:
        from slixmpp.exceptions import IqError

        async with Stock(port, "user_21@localhost", "password_21", "PLAIN") as client:
            await client.next("session_start")
            info = await client.xmpp.plugin["xep_0030"].get_info("localhost", timeout=PATIENCE_S)
            assert ("server", "im", None, "amoc xmppd") in info["disco_info"]["identities"]
            with pytest.raises(IqError) as raised:
                await client.xmpp.plugin["xep_0199"].send_ping("user_99@localhost/x")
            assert raised.value.condition == "service-unavailable"
            client.xmpp.send_message(mto="nobody@localhost", mbody="x", mtype="chat")
            error = await client.next("message_error")
            assert error["type"] == "error"
            assert error["error"]["condition"] == "service-unavailable"

    run(test)


def test_slixmpp_registers_an_account_and_uses_it(port: int) -> None:
    async def test() -> None:
        client = Stock(port, "alice@localhost", "wonderland", "SCRAM-SHA-256")
        registered: asyncio.Queue[Any] = asyncio.Queue()

        async def register(_: Any) -> None:
            iq = client.xmpp.Iq()
            iq["type"] = "set"
            iq["register"]["username"] = "alice"
            iq["register"]["password"] = "wonderland"
            registered.put_nowait(await iq.send(timeout=PATIENCE_S))

        client.xmpp.add_event_handler("register", register)
        async with client:
            answer = await asyncio.wait_for(registered.get(), PATIENCE_S)
            assert answer["type"] == "result"
            await client.next("session_start")
            assert client.xmpp.boundjid.bare == "alice@localhost"

    run(test)


async def session(client: Stock) -> None:
    """Wait until a client is logged in and has sent presence."""
    await client.next("session_start")
    client.xmpp.send_presence()
    await client.next("changed_status")


def test_slixmpp_rooms_work(port: int) -> None:
    async def test() -> None:
        room = "slix@conference.localhost"
        async with (
            Stock(port, "user_31@localhost", "password_31", "PLAIN", "xep_0045") as one,
            Stock(port, "user_32@localhost", "password_32", "PLAIN", "xep_0045") as two,
        ):
            for client in (one, two):
                await session(client)
            two.watch(f"muc::{room}::self-presence")
            muc = one.xmpp.plugin["xep_0045"]
            await muc.join_muc_wait(room, "one", timeout=PATIENCE_S)
            form = await muc.get_room_config(room)
            form["type"] = "submit"
            form.set_values({"muc#roomconfig_roomname": "Stock"})
            await muc.set_room_config(room, form)
            one.xmpp.send_message(mto=room, mbody="before", mtype="groupchat")
            await one.next("groupchat_message")
            _, _, occupants, history = await two.xmpp.plugin["xep_0045"].join_muc_wait(
                room, "two", maxstanzas=5, timeout=PATIENCE_S
            )
            assert "one" in {presence["from"].resource for presence in occupants}
            assert [message["body"] for message in history] == ["before"]
            two.xmpp.send_message(mto=room, mbody="after", mtype="groupchat")
            message = await one.next("groupchat_message")
            assert (message["from"], message["body"]) == (f"{room}/two", "after")
            await muc.set_role(room, "two", "none")
            await two.next(f"muc::{room}::self-presence")
            kicked = await two.next(f"muc::{room}::self-presence")
            assert kicked["type"] == "unavailable"
            assert 307 in kicked["muc"]["status_codes"]

    run(test)


def test_slixmpp_archive_carbons_and_blocking_work(port: int) -> None:
    async def test() -> None:
        plugins = ("xep_0313", "xep_0280", "xep_0191")
        async with Stock(port, "user_41@localhost", "password_41", "PLAIN", *plugins) as one:
            await session(one)
            await one.xmpp.plugin["xep_0280"].enable(timeout=PATIENCE_S)
            for body in ("a", "b", "c"):
                one.xmpp.send_message(mto="user_42@localhost", mbody=body, mtype="chat")
            found = [
                message["mam_result"]["forwarded"]["stanza"]["body"]
                async for message in one.xmpp.plugin["xep_0313"].iterate(
                    with_jid="user_42@localhost", rsm={"max": "2"}
                )
            ]
            assert found == ["a", "b", "c"]
            await one.xmpp.plugin["xep_0191"].block("user_43@localhost", timeout=PATIENCE_S)
            blocked = await one.xmpp.plugin["xep_0191"].get_blocked_jids(timeout=PATIENCE_S)
            assert {str(jid) for jid in blocked} == {"user_43@localhost"}

    run(test)


def test_slixmpp_publishing_and_personal_events_work(port: int) -> None:
    async def test() -> None:
        from xml.etree import ElementTree as ET

        plugins = ("xep_0060", "xep_0163", "xep_0115", "xep_0118")
        async with (
            Stock(port, "user_51@localhost", "password_51", "PLAIN", *plugins) as one,
            Stock(port, "user_52@localhost", "password_52", "PLAIN", *plugins) as two,
        ):
            two.xmpp.plugin["xep_0163"].add_interest("http://jabber.org/protocol/tune")
            for client in (one, two):
                await session(client)
            nodes = one.xmpp.plugin["xep_0060"]
            await nodes.create_node("pubsub.localhost", "stock")
            await two.xmpp.plugin["xep_0060"].subscribe("pubsub.localhost", "stock")
            payload = ET.Element("{urn:e}e")
            payload.text = "news"
            await nodes.publish("pubsub.localhost", "stock", id="i", payload=payload)
            event = await two.next("pubsub_publish")
            assert event["pubsub_event"]["items"]["item"]["payload"].text == "news"
            items = await nodes.get_items("pubsub.localhost", "stock")
            assert [item["id"] for item in items["pubsub"]["items"]] == ["i"]
            # slixmpp grants and returns subscriptions automatically.
            two.xmpp.send_presence_subscription(pto="user_51@localhost")
            await two.next("changed_status")
            await one.xmpp.plugin["xep_0118"].publish_tune(title="Yesterday")
            tune = await two.next("user_tune_publish")
            assert tune["pubsub_event"]["items"]["item"]["tune"]["title"] == "Yesterday"

    run(test)
