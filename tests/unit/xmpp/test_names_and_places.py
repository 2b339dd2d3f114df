"""User identities, server addresses, and parsing of the XMPP settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.xmpp import encode, options
from amoc.xmpp.connection import identity, retrying, server_addresses, sockets
from amoc.xmpp.connection.server_url import Server, parse_server, parse_servers
from amoc.xmpp.errors import quoted


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("localhost", Server("localhost", 5222)),
        ("127.0.0.1:15222", Server("127.0.0.1", 15222)),
        (" host:1 ", Server("host", 1)),
        ("[::1]:5222", Server("::1", 5222)),
        ("[::1]", Server("::1", 5222)),
    ],
)
def test_server_addresses_are_parsed(text: str, server: Server) -> None:
    assert parse_server(text) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize(
    "text",
    ["", ":5222", "host:", "host:0", "host:65536", "host:x", "::1", "a b:1", "host:٣", "[]:1"],
)
def test_an_invalid_server_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be host:port, such as 127\.0\.0\.1:5222"):
        parse_server(text)


@given(st.text(max_size=30))
def test_any_text_is_a_server_address_or_refused(text: str) -> None:
    try:
        server = parse_server(text)
    except ValueError:
        return
    assert 1 <= server.port <= 65535
    assert server.host


def test_lists_of_servers_are_parsed() -> None:
    assert parse_servers("") == ()
    assert parse_servers("a:1, b:2,") == (Server("a", 1), Server("b", 2))


def test_defaults_of_the_settings_pass_their_own_checks() -> None:
    for name, one in vars(options).items():
        if name.startswith("xmpp_"):
            assert one.convert(one.default) == one.default


@pytest.mark.parametrize(
    ("name", "raw", "problem"),
    [
        ("xmpp_servers", "host:x", "host:port"),
        ("xmpp_mechanisms", "DIGEST-MD5", "SCRAM-SHA-256"),
        ("xmpp_mechanisms", "", "list"),
        ("xmpp_domain", "", "must not be empty"),
        ("xmpp_connect_timeout", "0", "at least"),
        ("xmpp_connect_timeout", "soon", "duration"),
        ("xmpp_connect_attempts", "0", "at least 1"),
        ("xmpp_max_stanza_bytes", "10", "at least 1000"),
    ],
)
def test_an_invalid_setting_is_refused(name: str, raw: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        getattr(options, name).convert(raw)


def test_durations_may_be_written_as_text() -> None:
    assert options.xmpp_connect_timeout.convert("1m30s") == 90.0
    assert options.xmpp_connect_timeout.convert("2.5") == 2.5


def test_users_are_spread_over_the_servers_and_retry_on_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_servers, "default", "a:1,b:2,c:3")
    chosen = [server_addresses.server_for(user, 0, "d", None).host for user in range(1, 7)]
    assert sorted(chosen) == ["a", "a", "b", "b", "c", "c"]
    tried = {server_addresses.server_for(1, attempt, "d", None).host for attempt in range(3)}
    assert tried == {"a", "b", "c"}
    assert server_addresses.server_for(1, 0, "d", "x:9") == Server("x", 9)


def test_the_domain_is_the_default_server() -> None:
    assert server_addresses.server_for(1, 0, "example.org", None) == Server("example.org", 5222)


def test_users_take_turns_with_source_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_addresses.source_for(1) is None
    monkeypatch.setattr(options.xmpp_source_addresses, "default", "127.0.0.2, 127.0.0.3")
    assert {server_addresses.source_for(user) for user in (1, 2)} == {"127.0.0.2", "127.0.0.3"}


def test_usernames_follow_the_patterns_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    me = identity.identity(7, None, None, None)
    assert (me.bare_jid, me.password) == ("user_7@localhost", "password_7")
    assert "password" not in repr(me)
    monkeypatch.setattr(options.xmpp_username, "default", "load-{id}-{id}")
    monkeypatch.setattr(options.xmpp_domain, "default", "example.org")
    assert identity.identity(7, None, None, None).bare_jid == "load-7-7@example.org"
    assert identity.address(7) == "load-7-7@example.org"
    assert identity.address("a@b/c") == "a@b/c"
    monkeypatch.setattr(options.xmpp_domain, "default", "a.example, b.example")
    assert identity.identity(7, None, None, None).bare_jid == "load-7-7@b.example"
    assert identity.address(8) == "load-8-8@a.example"
    assert encode.message_tag(9, "chat") == "<message to='load-9-9@b.example' type='chat'"
    monkeypatch.setattr(options.xmpp_domain, "default", "example.org")
    assert identity.identity(7, "x", "y", "z")[1:] == ("x", "z", "y")
    tag = encode.message_tag("a@b/'<&>", "x'")
    assert tag == "<message to='a@b/&apos;&lt;&amp;&gt;' type='x&apos;'"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (xmpp.ConnectError("refused"), True),
        (xmpp.ConnectTimeout("slow"), True),
        (xmpp.Disconnected("cut"), True),
        (xmpp.TlsRequiredError("tls"), False),
        (xmpp.OutOfFilesError("fds"), False),
        (xmpp.StreamError("me", "system-shutdown"), True),
        (xmpp.StreamError("me", "host-unknown"), False),
        (xmpp.BadStreamError("me", "reset", ""), False),
        (xmpp.SaslError("me", "temporary-auth-failure"), True),
        (xmpp.SaslError("me", "not-authorized"), False),
        (xmpp.IqError("me", "resource-constraint", "wait"), True),
        (xmpp.IqError("me", "conflict", "cancel"), False),
        (ValueError(), False),
    ],
)
def test_only_temporary_failures_are_retried(error: Exception, again: bool) -> None:
    assert retrying.worth_retrying(error) is again


def test_running_out_of_descriptors_names_the_limit_and_the_remedy() -> None:
    import errno

    for number in (errno.EMFILE, errno.ENFILE):
        error = sockets.connect_error(OSError(number, "x"), "user_1@d at h:1", None)
        assert isinstance(error, xmpp.OutOfFilesError)
        for word in ("user_1@d", "file descriptor", "ulimit -n", "LimitNOFILE", "workers"):
            assert word in str(error)


def test_running_out_of_ports_names_the_remedy() -> None:
    import errno

    error = sockets.connect_error(OSError(errno.EADDRNOTAVAIL, "x"), "me", "127.0.0.2")
    assert "xmpp_source_addresses" in str(error)
    assert "127.0.0.2" in str(error)


@given(st.text())
def test_text_from_a_peer_is_quoted_on_one_line(text: str) -> None:
    said = quoted(text)
    assert len(said) <= 301
    assert said.isprintable()


def test_presence_arguments_are_validated() -> None:
    with pytest.raises(ScenarioError, match=r"type must be one of .*'available'"):
        encode.presence(None, "available", None, None, None)
    with pytest.raises(ScenarioError, match=r"show must be one of .*'busy'"):
        encode.presence(None, None, "busy", None, None)
    with pytest.raises(ScenarioError, match="from -128 to 127, got 128"):
        encode.presence(None, None, None, None, 128)
    assert encode.presence("a@b", "unavailable", None, "bye <3", None) == (
        b"<presence to='a@b' type='unavailable'><status>bye &lt;3</status></presence>"
    )


def test_sending_something_other_than_a_stanza_is_refused() -> None:
    with pytest.raises(ScenarioError, match="got int"):
        encode.outgoing(3)


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        ("<message/>", True),
        (b" <message to='a'/>", True),
        ("<messages/>", False),
        ("<presence/>", False),
        ("", False),
    ],
)
def test_raw_messages_are_counted_as_messages(raw: str | bytes, counts: bool) -> None:
    assert encode.outgoing(raw)[1] is counts
