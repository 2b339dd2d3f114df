"""The browser of the tests that look at pages."""

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
    """One for a module's tests, and gone before others start: playwright's loop is in their way."""
    asyncio_greenlet.stop()  # that of tests before this one, where it would be in playwright's way
    with chromium() as browser:
        yield browser
