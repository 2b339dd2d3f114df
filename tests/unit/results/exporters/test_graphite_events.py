"""Events sent to graphite-web over real sockets."""

import json
import subprocess

import pytest
from gevent import pywsgi, ssl
from gevent.server import StreamServer

from amoc.results.exporters import RunInfo, background, graphite_events
from amoc.results.exporters.graphite_events import GraphiteEvents, as_event
from tests.unit.results import runs
from tests.unit.results.exporters.support import Carbon, eventually, feed

RUN = RunInfo("20261125T020000-1a2b", "chat")


@pytest.fixture(autouse=True)
def _short_retry_pauses(monkeypatch):
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(background, "MAX_PAUSE_S", 0.01)


class Web:
    """Accepts events as graphite-web does."""

    def __init__(self, status="200 OK", port=0, **tls):
        self.status = status
        self.events = []
        self.paths = []
        self._server = pywsgi.WSGIServer(
            ("127.0.0.1", port), self._answer, log=None, error_log=None, **tls
        )
        self._server.start()
        self.port = self._server.server_port

    def _answer(self, environ, start_response):
        self.paths.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        self.events.append(json.loads(environ["wsgi.input"].read()))
        start_response(self.status, [])
        return [b""]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.stop()


def test_an_event_has_text_time_and_run():
    text = "the rate is halved " * 20
    event = json.loads(as_event(text, ["amoc", "a run", "x" * 80, "amoc"], 12.9))
    assert event == {
        "what": text[:255],
        "data": text,
        "tags": ["amoc", "a_run", "x" * 50],
        "when": 12,
    }


@pytest.mark.parametrize("path", ["", "/", "/graphite"])
def test_events_are_posted_in_order(path):
    told = []
    with Web() as web:
        exporter = GraphiteEvents(f"http://127.0.0.1:{web.port}{path}", RUN, told.append)
        feed(exporter, runs.points(1))
        exporter.annotate("one", ["command"], 10.0)
        exporter.annotate("two", ["warning"], 11.0)
        exporter.close(10.0)
        assert [event["what"] for event in web.events] == ["one", "two"]
        assert web.events[0]["tags"] == ["amoc", RUN.run_id, "chat", "command"]
        assert set(web.paths) == {f"POST {path.rstrip('/')}/events/"}
    assert told == []


def test_events_wait_while_graphite_web_is_down():
    told = []
    with Carbon(listening=False) as nobody:
        port = nobody.port
        exporter = GraphiteEvents(f"http://127.0.0.1:{port}", RUN, told.append)
        exporter.annotate("one", [], 10.0)
        eventually(lambda: told, "it is said")
    with Web(port=port) as web:
        exporter.close(10.0)
        assert [(event["what"], event["when"]) for event in web.events] == [("one", 10)]
    text = (
        f"graphite-web at http://127.0.0.1:{port} does not accept data: Connection refused;"
        " the run continues, and the latest events are kept"
    )
    assert told == [text]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "403 Forbidden", "500 Oops"])
def test_a_rejected_event_is_dropped_and_reported(status):
    told = []
    with Web(status) as web:
        exporter = GraphiteEvents(f"http://127.0.0.1:{web.port}", RUN, told.append)
        exporter.annotate("one", [], 10.0)
        eventually(lambda: told, "it is said")
        web.status = "200 OK"
        exporter.annotate("two", [], 11.0)
        exporter.close(10.0)
        assert [event["what"] for event in web.events] == ["one", "two"]
        where = f"graphite-web at http://127.0.0.1:{web.port}"
    assert told == [
        f"{where} rejected one of the events: it answers {status}",
        f"{where}: 1 event could not be delivered",
    ]


def test_a_server_that_never_responds_causes_one_warning(monkeypatch):
    monkeypatch.setattr(graphite_events, "POST_S", 0.02)
    told = []
    with Carbon(reads=False) as silent:
        exporter = GraphiteEvents(f"http://127.0.0.1:{silent.port}", RUN, told.append)
        exporter.annotate("one", [], 10.0)
        eventually(lambda: silent.connections > 2, "it is tried again")
        assert len(told) == 1
        assert "does not accept data: no answer within 0.02 s" in told[0]
        exporter.close(5.0)
    assert told[1].endswith(": 1 event could not be delivered")


def test_a_response_that_is_not_http_causes_one_warning():
    told = []

    def rude(connection, _):
        connection.recv(65536)
        connection.sendall(b"220 mail.example ESMTP\r\n")

    mail = StreamServer(("127.0.0.1", 0), rude)
    mail.start()
    exporter = GraphiteEvents(f"http://127.0.0.1:{mail.server_port}", RUN, told.append)
    exporter.annotate("one", [], 10.0)
    eventually(lambda: told, "it is said")
    exporter.close(5.0)
    mail.stop()
    assert "its answer is not HTTP (BadStatusLine" in told[0]


@pytest.mark.slow
def test_events_over_tls_require_a_trusted_certificate(tmp_path, monkeypatch):
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    told = []
    with Web(ssl_context=context) as web:
        url = f"https://127.0.0.1:{web.port}"
        stranger = GraphiteEvents(url, RUN, told.append)
        stranger.annotate("secret", [], 10.0)
        eventually(lambda: told, "it is not believed")
        stranger.close(5.0)
        assert "CERTIFICATE_VERIFY_FAILED" in told[0]
        assert web.events == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        friend = GraphiteEvents(url, RUN, told.append)
        friend.annotate("one", [], 11.0)
        friend.close(10.0)
        assert [event["what"] for event in web.events] == ["one"]
