"""Visitors come to a shop at a rate, however slow it is; one in ten orders something.

amoc run scenarios/http/arrival_rate.py --arrival-rate 50/s --max-users 500 --duration 1m

The shop is the one of the setting base.

Each iteration is one visit, so `start` has no loop.
"""

import amoc
from amoc import expect, http, setting, step, user

base = setting("http://127.0.0.1:8080", "Base address of the shop")
pages = setting(3, "Pages that a visitor looks at", verify=lambda n: n >= 1)
think = setting(1.0, "Mean of the seconds between two pages", verify=lambda s: s >= 0)

expect("dropped < 1%")
expect("crashes == 0")


def visitor():
    # The step begins under the slot of the visit, so visit.response is what the visitor has seen,
    # also when a slow shop makes visits late.
    with step("visit"), http.session(base.get(), timeout=10) as shop:
        look_around(shop)


def buyer(user_id):
    with step("visit"), http.session(base.get(), timeout=10) as shop:
        shop.post("/login", json={"name": f"buyer {user_id}"}).check(status=200)
        look_around(shop)
        shop.post("/cart", json={"item": user.random.randrange(1000)})
        shop.post("/pay", allow=(402,))  # some payments are refused, which is no failure here


def look_around(shop):
    for _ in range(pages.get()):
        shop.get("/item/{n}", path={"n": user.random.randrange(1000)})
        user.think(0.5 * think.get(), 1.5 * think.get())


amoc.users({visitor: 9, buyer: 1})
