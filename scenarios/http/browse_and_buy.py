"""Shoppers log in once, each with its own account, browse, and sometimes buy.

amoc run scenarios/http/browse_and_buy.py --users 100 --duration 1m --set base=http://127.0.0.1:8080

accounts.csv has accounts for 300 users; a user that finds no account left ends at once, finished.
"""

from amoc import check, expect, feed, http, setting, step, user

base = setting("http://127.0.0.1:8080", "Base address of the shop")
think = setting(1.0, "Mean think time between two pages, in seconds", verify=lambda s: s > 0)
buyers = setting(0.1, "Share of page views that lead to an order", verify=lambda p: 0 <= p <= 1)

accounts = feed.csv("accounts.csv", order="unique")

expect("crashes == 0")


def start(user_id):
    me = accounts.next()
    # Each user has its own session: connections, cookies, and so its own cart.
    with http.session(base.get(), timeout=10) as shop:
        with step("login"):
            shop.post("/login", json={"name": me["name"]}).check(status=200)
        while not user.stopping:
            user.think(0.5 * think.get(), 1.5 * think.get())
            user.pick({buy: buyers.get(), browse: 1 - buyers.get()})(shop)


def browse(shop):
    # The URL with its placeholder is the name, so all items share one line in the results.
    answer = shop.get("/item/{n}", path={"n": user.random.randrange(1000)})
    if answer.ok:
        check("has a price", "price" in answer.json())


def buy(shop):
    with step("buy") as this:
        shop.post("/cart", json={"item": user.random.randrange(1000)})
        if shop.post("/pay", allow=(402,)).status == 402:
            this.fail("payment refused")  # the step fails; the user continues
