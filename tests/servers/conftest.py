"""Real servers, one of each for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amoc import xmpp
from tests.servers.certificates import ServerCertificates
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.embedded import Embedded
from tests.servers.prosody import Prosody

ACCOUNTS = 2100
Connect = Callable[..., xmpp.Client]


@pytest.fixture(scope="session")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """prosody with accounts for users 1 to `ACCOUNTS`."""
    Prosody.available()
    with Prosody(tmp_path_factory.mktemp("prosody"), ACCOUNTS) as server:
        yield server


@pytest.fixture(scope="session")
def ejabberd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ejabberd]:
    """ejabberd with accounts for users 1 to 200."""
    Ejabberd.available()
    with Ejabberd(tmp_path_factory.mktemp("ejabberd"), 200) as server:
        yield server


@pytest.fixture(scope="session", params=["prosody", "ejabberd"])
def xmpp_server(request: pytest.FixtureRequest) -> XmppServer:
    """prosody, then ejabberd."""
    server: XmppServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def prosody_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """prosody with all services, and accounts for users 1 to 300."""
    Prosody.available()
    with Prosody(tmp_path_factory.mktemp("prosody-services"), 300, services=True) as server:
        yield server


@pytest.fixture(scope="session")
def ejabberd_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ejabberd]:
    """ejabberd with all services, and accounts for users 1 to 300."""
    Ejabberd.available()
    with Ejabberd(tmp_path_factory.mktemp("ejabberd-services"), 300, services=True) as server:
        yield server


@pytest.fixture(scope="session")
def embedded_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """amoc's own server."""
    with Embedded(tmp_path_factory.mktemp("embedded")) as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificates:
    """Certificates for the servers with TLS."""
    return ServerCertificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=["prosody", "ejabberd"])
def tls_server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificates: ServerCertificates,
) -> Iterator[XmppServer]:
    """A server that speaks TLS, with accounts for users 1 to 100."""
    kind = {"prosody": Prosody, "ejabberd": Ejabberd}[request.param]
    kind.available()
    directory = tmp_path_factory.mktemp(f"{request.param}-tls")
    with kind(directory, 100, certificates=certificates) as server:
        yield server


@pytest.fixture(scope="session", params=["prosody", "ejabberd", "embedded"])
def services(request: pytest.FixtureRequest) -> XmppServer:
    """A server with all services."""
    server: XmppServer = request.getfixturevalue(f"{request.param}_services")
    return server


@pytest.fixture
def xmpp_name(request: pytest.FixtureRequest) -> str:
    """The name of the server that `services` is."""
    return str(request.node.callspec.params["services"])


@pytest.fixture
def connect(services: XmppServer) -> Connect:
    """`xmpp.connect` to a server with all services, by default as a new user, with presence."""

    def call(user_id: int | None = None, **options: Any) -> xmpp.Client:
        number = services.new_user() if user_id is None else user_id
        plain = {"server": services.address, "tls": "off", "interrupts": False}
        client = xmpp.connect(number, **{**plain, **options})
        client.send_presence()
        return client

    return call
