"""Visitors arrive at a shop at a given rate, however slow it is; one in ten places an order.

amoc run scenarios/http/arrival_rate.py --arrival-rate 50/s --max-users 500 --duration 1m

The setting base is the address of the shop.

Each iteration is one visit, so `start` has no loop.
"""

import amoc
from amoc import expect, http, setting, step, user

base = setting("http://127.0.0.1:8080", "Base address of the shop")
pages = setting(3, "Pages that a visitor views", verify=lambda n: n >= 1)
think = setting(1.0, "Mean think time between two pages, in seconds", verify=lambda s: s >= 0)

expect("dropped < 1%")
expect("crashes == 0")


def visitor():
    # The step starts under the slot of the visit, so visit.response is the time that the visitor
    # experienced, even when a slow shop delays visits.
    with step("visit"), http.session(base.get(), timeout=10) as shop:
        look_around(shop)


def buyer(user_id):
    with step("visit"), http.session(base.get(), timeout=10) as shop:
        shop.post("/login", json={"name": f"buyer {user_id}"}).check(status=200)
        look_around(shop)
        shop.post("/cart", json={"item": user.random.randrange(1000)})
        shop.post("/pay", allow=(402,))  # some payments are refused, which is not a failure here


def look_around(shop):
    for _ in range(pages.get()):
        shop.get("/item/{n}", path={"n": user.random.randrange(1000)})
        user.think(0.5 * think.get(), 1.5 * think.get())


amoc.users({visitor: 9, buyer: 1})
