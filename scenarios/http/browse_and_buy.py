"""Shoppers log in once, browse, and sometimes buy.

amoc run scenarios/http/browse_and_buy.py --users 100 --duration 1m --set base=http://127.0.0.1:8080
"""

from amoc import check, expect, http, setting, step, user

base = setting("http://127.0.0.1:8080", "Base address of the shop")
think = setting(1.0, "Mean of the seconds between two pages", verify=lambda s: s > 0)
buyers = setting(0.1, "Which part of the pages leads to an order", verify=lambda p: 0 <= p <= 1)

expect("crashes == 0")


def start(user_id):
    # Each user has a session of its own: connections, cookies, and with them its cart.
    with http.session(base.get(), timeout=10) as shop:
        with step("login"):
            shop.post("/login", json={"name": f"shopper {user_id}"}).check(status=200)
        while not user.wait_stopping(think.get() * user.random.uniform(0.5, 1.5)):
            if user.random.random() < buyers.get():
                buy(shop)
            else:
                browse(shop)


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
