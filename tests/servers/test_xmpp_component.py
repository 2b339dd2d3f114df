"""External components (XEP-0114) on prosody and ejabberd."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.xmpp import meters
from tests.servers.conftest import Connect
from tests.servers.daemon import XmppServer
from tests.unit.xmpp.fake import count

PATIENCE_S = 60.0
pytestmark = [
    pytest.mark.once,
    pytest.mark.parametrize("services", ["prosody", "ejabberd"], indirect=True),
]


def attach(services: XmppServer, secret: str | None = None) -> xmpp.Component:
    return xmpp.component(
        services.component,
        services.component_secret if secret is None else secret,
        f"127.0.0.1:{services.component_port}",
        timeout=PATIENCE_S,
        interrupts=False,
    )


@pytest.fixture
def echo(services: XmppServer) -> Iterator[xmpp.Component]:
    with attach(services) as component:
        yield component


def test_a_component_receives_all_of_its_domains_stanzas_and_answers(
    echo: xmpp.Component, connect: Connect
) -> None:
    with connect() as alice:
        timed = count(meters.message_ttd)
        alice.send_chat("bot@echo.localhost", "5 < 6 – 😀")
        message = echo.receive(xmpp.is_chat, timeout=PATIENCE_S)
        assert (message.body, message.sender) == ("5 < 6 – 😀", alice.jid)
        assert message.to == "bot@echo.localhost"
        echo.reply(message, "indeed")
        answer = alice.receive(xmpp.is_chat, timeout=PATIENCE_S)
        assert (answer.body, answer.sender) == ("indeed", "bot@echo.localhost")
        assert count(meters.message_ttd) - timed == 2


def test_a_component_sends_and_answers_requests(echo: xmpp.Component, connect: Connect) -> None:
    with connect() as alice:
        asked = gevent.spawn(alice.disco, "echo.localhost", timeout=PATIENCE_S)
        assert "urn:xmpp:ping" in asked.get(timeout=PATIENCE_S).features
        assert alice.ping("anything@echo.localhost", PATIENCE_S) > 0
        assert echo.ping("localhost", PATIENCE_S) > 0
        assert any(kind == "server" for kind, _, _ in echo.disco("localhost").identities)


def test_what_a_component_sends_is_from_its_domain(echo: xmpp.Component, connect: Connect) -> None:
    with connect() as alice:
        echo.send_chat(alice.jid, "from the domain")
        assert alice.receive(xmpp.is_chat, timeout=PATIENCE_S).sender == "echo.localhost"
        echo.send(
            f"<message from='a@echo.localhost' to='{alice.jid}'><body>from a</body></message>"
        )
        message = alice.receive(xmpp.has_body("from a"), timeout=PATIENCE_S)
        assert message.sender == "a@echo.localhost"


def test_a_wrong_secret_is_refused(services: XmppServer) -> None:
    failures = count(meters.connection_failures)
    with pytest.raises(xmpp.StreamError) as raised:
        attach(services, "wr0ng-one")
    assert raised.value.condition == "not-authorized"
    assert "wr0ng-one" not in str(raised.value)
    assert count(meters.connection_failures) - failures == 1


def test_a_component_is_a_domain(services: XmppServer) -> None:
    with pytest.raises(ScenarioError, match="must be a domain, got 'a@b'"):
        xmpp.component("a@b", "secret", services.address)
