"""A shop with two kinds of users, and visits in a file of their own, for tests on several nodes."""

from __future__ import annotations

from pathlib import Path

_SHOP = """
import amoc
from common import ask, buy

class Buyer:
    def start(self, user_id):
        buy()

def browser(user_id):
    ask("browser", 5)

amoc.users({Buyer: 1, browser: 3})
"""
_VISIT = """
from common import ask

def start(user_id):
    ask("visit", 1)
"""


def write_shop(directory: Path, common: str) -> None:
    """Write ``shop.py`` and ``visit.py``, and the module ``common`` that both import.

    Args:
        directory: Where to write them.
        common: Its text: `buy()`, and `ask(what, times)` which makes that many requests.
    """
    for name, text in (("common", common), ("shop", _SHOP), ("visit", _VISIT)):
        (directory / f"{name}.py").write_text(text)
