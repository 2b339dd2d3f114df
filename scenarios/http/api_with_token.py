"""API clients fetch a token, use it until it expires, and fetch a new one.

amoc run scenarios/http/api_with_token.py --users 100 --duration 1m --set base=http://127.0.0.1:8080
"""

from amoc import expect, http, setting, user

base = setting("http://127.0.0.1:8080", "Base address of the API")
pause = setting(0.5, "Mean seconds between two calls", verify=lambda s: s > 0)
secret = setting("secret", "Client secret with which a token is requested")

expect("crashes == 0")


def start(user_id):
    with http.session(base.get(), timeout=10) as api:
        authorize(api, user_id)
        while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
            # An expired token is not a failure of the API.
            order = {"item": user.random.randrange(1000), "count": 1}
            answer = api.post("/orders", json=order, allow=(401,))
            if answer.status == 401:
                authorize(api, user_id)
                continue
            answer.check(status=201, json={"order.count": 1}, faster_than=1.0)
            if answer.ok:
                number = answer.json()["order"]["id"]
                api.get("/orders/{id}", path={"id": number}).check(json={"order.id": number})
                api.delete("/orders/{id}", path={"id": number}).check(status=204)


def authorize(api, user_id):
    asked = {"client": f"client-{user_id}", "secret": secret.get()}
    token = api.post("/token", form=asked, name="fetch a token").json()["access_token"]
    api.set_header("Authorization", f"Bearer {token}")
