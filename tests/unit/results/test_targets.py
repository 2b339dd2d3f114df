"""The targets of a run: from its settings and from where its users connected."""

from __future__ import annotations

import pytest

from amoc.base.targets import MAX_TARGETS, Targets
from amoc.results.targets import targets

SETTINGS = [
    {"name": "xmpp_servers", "module": "amoc.xmpp.settings", "value": "xmpp1:5222"},
    {"name": "otel_endpoint", "module": "amoc.results.exporters", "value": "http://otel:4318"},
    {"name": "shop", "module": "shop", "value": "https://shop.example/v1"},
    {"name": "page_size", "module": "shop", "value": "20"},
]


def test_addresses_in_settings_come_first_then_other_servers_by_name():
    seen = ["http://cdn.example", "http://api.example:8080", "http://cdn.example"]
    assert targets(SETTINGS, seen) == [
        "xmpp1:5222",
        "https://shop.example/v1",
        "http://api.example:8080",
        "http://cdn.example",
    ]


@pytest.mark.parametrize(
    ("value", "seen", "is_same"),
    [
        ("https://shop.example/v1", "https://shop.example", True),
        ("https://Shop.example:443", "https://shop.example", True),
        ("http://[::1]:80/", "http://[::1]", True),
        ("https://shop.example", "http://shop.example", False),
        ("https://shop.example", "https://shop.example:8443", False),
        ("https://shop.example:many", "https://shop.example", False),
        ("https://shop.example", "127.0.0.1:5222 (embedded XMPP server)", False),
    ],
)
def test_a_server_that_a_setting_names_is_not_named_again(value, seen, is_same):
    settings = [{"name": "shop", "module": "shop", "value": value}]
    assert targets(settings, [seen]) == ([value] if is_same else [value, seen])


def test_a_worker_reports_each_server_once_and_only_some():
    told: list[str] = []
    seen = Targets(told.append)
    for number in range(2 * MAX_TARGETS):
        for _ in range(2):
            seen.take(f"http://host{number}")
    assert told == [f"http://host{number}" for number in range(MAX_TARGETS)]
