from __future__ import annotations

import pytest

from amoc.xmppd.accounts import Accounts
from amoc.xmppd.answers import StanzaFailure


def condition(action: object, *arguments: str) -> str:
    with pytest.raises(StanzaFailure) as raised:
        action(*arguments)  # type: ignore[operator]
    return raised.value.condition


def test_a_password_derived_from_the_name_needs_no_account() -> None:
    accounts = Accounts(limit=10)
    assert accounts.check("user_17", "password_17")
    assert not accounts.check("user_17", "password_18")
    assert not accounts.check("user_017", "password_017")
    assert not accounts.check("user_0", "password_0")
    assert not accounts.check("user_", "password_")
    assert not accounts.check("somebody", "password_1")
    assert "user_17" in accounts
    assert "somebody" not in accounts


def test_a_registered_password_overrides_the_derived_one() -> None:
    accounts = Accounts(limit=10)
    accounts.register("user_1", "secret")
    assert accounts.check("user_1", "secret")
    assert not accounts.check("user_1", "password_1")
    accounts.remove("user_1")
    assert accounts.check("user_1", "password_1")


def test_a_name_can_be_registered_only_once() -> None:
    accounts = Accounts(limit=10)
    accounts.register("bob", "one")
    assert condition(accounts.register, "bob", "two") == "conflict"
    assert accounts.check("bob", "one")
    assert len(accounts) == 1


def test_accounts_are_limited_and_need_a_password() -> None:
    accounts = Accounts(limit=1)
    assert condition(accounts.register, "bob", "") == "not-acceptable"
    accounts.register("bob", "one")
    assert condition(accounts.register, "eve", "one") == "resource-constraint"
    assert condition(accounts.change_password, "user_1", "x") == "resource-constraint"
    assert condition(accounts.change_password, "bob", "") == "not-acceptable"
    accounts.change_password("bob", "two")
    assert accounts.check("bob", "two")


def test_a_secret_password_gets_more_iterations_than_a_derived_one() -> None:
    accounts = Accounts(limit=10)
    accounts.register("bob", "secret")
    registered = accounts.scram_keys("bob", "sha256")
    pattern = accounts.scram_keys("user_1", "sha256")
    assert registered is not None
    assert pattern is not None
    assert registered.iterations >= 4096 > pattern.iterations
    assert accounts.scram_keys("nobody", "sha256") is None


def test_no_password_appears_in_a_repr() -> None:
    accounts = Accounts(limit=10)
    accounts.register("bob", "secret")
    assert "secret" not in repr(accounts)
    keys = accounts.scram_keys("bob", "sha1")
    assert keys is not None
    assert "_key" not in repr(keys)
