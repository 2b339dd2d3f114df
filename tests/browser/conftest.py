"""The browser for tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from amoc.xmpp.slixmpp import asyncio_greenlet
from tests.browser.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a module, closed before others: playwright's loop would disturb them."""
    asyncio_greenlet.stop()  # of earlier tests, which would disturb playwright
    with chromium() as browser:
        yield browser
