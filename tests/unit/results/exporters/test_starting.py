"""Which exporters a run starts."""

import pytest

from amoc.results.exporters import RunInfo, start
from amoc.results.exporters import settings as exporter_settings
from amoc.results.exporters.graphite import Graphite
from amoc.results.exporters.graphite_events import GraphiteEvents
from amoc.results.exporters.prometheus import Prometheus
from amoc.results.exporters.statsd import Statsd
from amoc.scenario import settings
from amoc.scenario.settings import Value, as_text
from tests.servers.daemon import free_port
from tests.unit.results.exporters.support import Carbon

RUN = RunInfo("20261125T020000-1a2b", "chat")


def values(**given):
    """The exporters' settings as the controller has them."""
    own = {
        name: one
        for name, one in vars(exporter_settings).items()
        if isinstance(one, settings.Setting)
    }
    resolved = {name: one.convert(given.pop(name, one.default)) for name, one in own.items()}
    assert not given
    return {name: as_text(name, Value(value, "--set")) for name, value in resolved.items()}


def test_a_run_has_no_exporter_by_default():
    assert start(values(), RUN, print) == []


def test_a_run_starts_the_exporters_whose_backend_is_set():
    told = []
    with Carbon(listening=False) as nobody:
        started = start(
            values(
                graphite_host="127.0.0.1",
                graphite_port=str(nobody.port),
                graphite_web=f"http://127.0.0.1:{nobody.port}",
                statsd_host="127.0.0.1",
                prometheus_port=str(free_port()),
            ),
            RUN,
            told.append,
        )
        assert [type(one) for one in started] == [Prometheus, Graphite, GraphiteEvents, Statsd]
        for one in started:
            one.annotate("nobody is there", [], 1.0)
            one.close(1.0)
    assert [text.split(" at ")[0] for text in told] == ["graphite-web"] * 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("graphite_host", "localhost"),
        ("graphite_host", "carbon-1.example.org"),
        ("statsd_host", "::1"),
        ("statsd_host", ""),
        ("graphite_prefix", ""),
        ("graphite_prefix", "load.test-1"),
        ("graphite_web", "https://graphite.example.org/graphite/"),
        ("graphite_web", "http://[::1]:8080"),
        ("graphite_port", "65535"),
        ("prometheus_port", "0"),
        ("prometheus_host", "0.0.0.0"),
    ],
)
def test_valid_values_are_accepted(name, value):
    assert values(**{name: value})[name] == value


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("graphite_host", "carbon:2003", "a host name or an IP address, without a port"),
        ("statsd_host", "http://statsd", "a host name or an IP address, without a port"),
        ("graphite_prefix", "a b", "letters, digits"),
        ("graphite_prefix", "a..b", "in parts separated by dots"),
        ("statsd_prefix", "a.", "in parts separated by dots"),
        ("graphite_web", "graphite:8080", "a URL such as http://"),
        ("graphite_web", "http://me:secret@graphite", "without user"),
        *(
            ("graphite_web", f"http://graphite:{port}", "a port from 1 to 65535")
            for port in ("0", "99999", "x")
        ),
        ("graphite_web", "http://[::1", "such as http://127.0.0.1:8080, with a port from 1"),
        ("graphite_web", "http://", "a URL such as http://"),
        ("graphite_web", "ftp://graphite", "a URL such as http://"),
        ("graphite_web", "http://graphite/a b", "without blanks"),
        ("graphite_web", "http://graphite/\r\nX-Rude: 1", "without blanks"),
        ("graphite_web", " http://graphite", "without blanks"),
        ("graphite_web", "http://graphite/\x1b[2J", "without blanks"),
        ("graphite_web", "http://gräphite", "with %-codes beyond ASCII"),
        ("graphite_port", "0", "from 1 to 65535"),
        ("statsd_port", "70000", "from 1 to 65535"),
        ("prometheus_port", "-1", "or 0 for none"),
        ("prometheus_host", "", "0.0.0.0 listens on all"),
    ],
)
def test_invalid_values_are_rejected(name, value, rule):
    with pytest.raises(ValueError, match=rule):
        getattr(exporter_settings, name).convert(value)
