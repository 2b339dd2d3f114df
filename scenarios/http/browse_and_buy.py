"""Shoppers log in once, each with an account of its own, browse, and sometimes buy.

amoc run scenarios/http/browse_and_buy.py --users 100 --duration 1m --set base=http://127.0.0.1:8080

accounts.csv has accounts for 300 users; a user that finds none left ends at once, as finished.
"""

from amoc import check, expect, feed, http, setting, step, user

base = setting("http://127.0.0.1:8080", "Base address of the shop")
think = setting(1.0, "Mean of the seconds between two pages", verify=lambda s: s > 0)
buyers = setting(0.1, "Which part of the pages leads to an order", verify=lambda p: 0 <= p <= 1)

accounts = feed.csv("accounts.csv", order="unique")

expect("crashes == 0")


def start(user_id):
    me = accounts.next()
    # Each user has a session of its own: connections, cookies, and with them its cart.
    with http.session(base.get(), timeout=10) as shop:
        with step("login"):
            shop.post("/login", json={"name": me["name"]}).check(status=200)
        while not user.stopping:
            user.think(0.5 * think.get(), 1.5 * think.get())
            user.pick({buy: buyers.get(), browse: 1 - buyers.get()})(shop)


def browse(shop):
    # The URL with its placeholder is the name, so all items together are one line of the results.
    answer = shop.get("/item/{n}", path={"n": user.random.randrange(1000)})
    if answer.ok:
        check("has a price", "price" in answer.json())


def buy(shop):
    with step("buy") as this:
        shop.post("/cart", json={"item": user.random.randrange(1000)})
        if shop.post("/pay", allow=(402,)).status == 402:
            this.fail("payment refused")  # the step failed; the user goes on
