"""Results of removing users, of one worker and of all."""

from __future__ import annotations

from amoc.ipc.messages.orders import UsersRemoved
from amoc.users.removal import Removal


def test_removals_of_all_workers_add_up_by_kind():
    parts = [Removal(1, 20, 300, 4000, (7, 3)), Removal(), Removal(2, 30, 400, 5000, (5,))]
    assert Removal.sum(parts) == Removal(3, 50, 700, 9000, (3, 5, 7))
    assert Removal.sum(parts).total == 9753
    assert Removal.sum([]) == Removal()


def test_each_kind_of_removal_has_its_own_text():
    assert Removal().text() == "no users to remove"
    assert Removal(asked=1).text() == "1 user asked to stop"
    assert Removal(2, 3, 4, 5, (6, 7)).text() == (
        "2 users asked to stop; 3 users killed; 4 users will not start;"
        " 5 users will not start again; stuck after 2 s: 6, 7"
    )


def test_a_removal_is_serialised_field_by_field_in_fixed_order():
    assert UsersRemoved._fields == ("number", *Removal._fields)
