"""OpenTelemetry's environment variables determine where data is sent."""

import pytest

from amoc.base.errors import SettingError
from amoc.results.exporters.base import RunInfo
from amoc.results.exporters.otlp_environment import (
    MetricOptions,
    Target,
    metric_options,
    resource,
    sampled_share,
    target,
)

ALL = "OTEL_EXPORTER_OTLP_"
OWN = "OTEL_EXPORTER_OTLP_METRICS_"
RUN = RunInfo("20261125T020000-1a2b", "chat")


def url(environ, endpoint=""):
    found = target(environ, endpoint, "metrics")
    return found and found.url


def test_nothing_is_sent_unless_an_endpoint_is_given():
    assert url({}) is None
    assert url({ALL + "ENDPOINT": "  "}) is None


def test_paths_are_added_to_a_general_endpoint_and_not_to_a_signals_own():
    assert url({ALL + "ENDPOINT": "http://otel:4318/"}) == "http://otel:4318/v1/metrics"
    environ = {ALL + "ENDPOINT": "http://otel", OWN + "ENDPOINT": "https://own/x?y"}
    assert url(environ) == "https://own/x?y"
    assert url(environ, "http://setting:1/base/") == "http://setting:1/base/v1/metrics"
    found = target({ALL + "ENDPOINT": "http://otel"}, "", "traces")
    assert found is not None
    assert found.url == "http://otel/v1/traces"


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_METRICS_EXPORTER": "none"}])
def test_the_environment_can_disable_the_exporter_unless_the_setting_is_given(off):
    assert url({ALL + "ENDPOINT": "http://otel", **off}) is None
    assert url(off, "http://otel") is not None


def test_variables_of_the_signal_take_precedence():
    environ = {
        ALL + "ENDPOINT": "http://otel",
        ALL + "HEADERS": "a=1",
        OWN + "HEADERS": "Authorization=Basic%20eDp5, x-y = 2 ,",
        OWN + "TIMEOUT": "1500",
        ALL + "TIMEOUT": "1",
        ALL + "COMPRESSION": "gzip",
        OWN + "CERTIFICATE": "/ca.pem",
        ALL + "PROTOCOL": "http/protobuf",
    }
    headers = {"Authorization": "Basic eDp5", "x-y": "2"}
    wanted = Target("http://otel/v1/metrics", headers, 1.5, True, "/ca.pem")
    assert target(environ, "", "metrics") == wanted


def test_all_invalid_variables_are_reported_at_once():
    environ = {
        ALL + "ENDPOINT": "otel:4318",
        ALL + "HEADERS": "a",
        OWN + "TIMEOUT": "1s",
        ALL + "COMPRESSION": "zip",
        ALL + "PROTOCOL": "grpc",
    }
    with pytest.raises(SettingError) as raised:
        target(environ, "", "metrics")
    assert raised.value.problems == (
        "the OTLP endpoint must be an HTTP URL, got 'otel:4318/v1/metrics'",
        "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, the only one supported, got 'grpc'",
        "OTEL_EXPORTER_OTLP_HEADERS must be key=value, with commas between several",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT must be in whole milliseconds above 0, got '1s'",
        "OTEL_EXPORTER_OTLP_COMPRESSION must be gzip or none, got 'zip'",
    )


def test_metric_options_are_read_from_the_environment():
    assert metric_options({}) == MetricOptions(False, False, 1.0)
    environ = {
        OWN + "TEMPORALITY_PREFERENCE": "Delta",
        OWN + "DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
    }
    assert metric_options(environ) == MetricOptions(True, True, 5.0)
    with pytest.raises(SettingError, match="must be one of cumulative, delta, lowmemory, got 'x'"):
        metric_options({OWN + "TEMPORALITY_PREFERENCE": "x"})


def test_the_resource_describes_the_run_and_includes_environment_attributes():
    found = resource({}, RUN)
    assert found["service.name"] == "amoc"
    assert found["service.instance.id"] == RUN.run_id
    assert found["amoc.scenario"] == "chat"
    environ = {
        "OTEL_SERVICE_NAME": "nightly",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,deployment.environment=test%2C1",
    }
    found = resource(environ, RUN)
    assert found["service.name"] == "nightly"
    assert found["deployment.environment"] == "test,1"
    with pytest.raises(SettingError, match="OTEL_RESOURCE_ATTRIBUTES must be key=value"):
        resource({"OTEL_RESOURCE_ATTRIBUTES": "x"}, RUN)


@pytest.mark.parametrize(
    ("sampler", "argument", "share"),
    [
        ("", "0.5", 0),
        ("always_on", "0.5", 1),
        ("always_off", "", 0),
        ("parentbased_always_on", "", 1),
        ("parentbased_always_off", "", 0),
        ("traceidratio", "", 1),
        ("traceidratio", "0.25", 0.25),
        (" ParentBased_TraceIdRatio ", " 0 ", 0),
    ],
)
def test_the_environment_chooses_the_sampler(sampler, argument, share):
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampled_share(environ) == share


@pytest.mark.parametrize("sampler", ["xray", "parentbased_jaeger_remote", "parentbased"])
def test_an_unknown_sampler_is_refused(sampler):
    message = rf"OTEL_TRACES_SAMPLER must be one of always_on, .* one of them, got '{sampler}'"
    with pytest.raises(SettingError, match=message):
        sampled_share({"OTEL_TRACES_SAMPLER": sampler})


@pytest.mark.parametrize("share", ["1.5", "-0.1", "nan", "many"])
def test_an_invalid_share_is_refused(share):
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
    with pytest.raises(SettingError, match="_ARG must be from 0 to 1, got "):
        sampled_share(environ)
