"""Conversion of a HAR recording to a scenario."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from typing import Any

import pytest

from amoc.base.errors import UsageError
from amoc.recording import from_har
from tests.unit.recording.archive import archive, entry


def scenario(*entries: dict[str, Any], **options: Any) -> str:
    pages = options.pop("pages", None)
    written = from_har.convert(archive(*entries, pages=pages), "x.har", "shop", **options)
    return written.files["shop.py"].decode()


def notes(*entries: dict[str, Any], **options: Any) -> list[str]:
    return from_har.convert(archive(*entries), "x.har", "shop", **options).notes


def test_pages_become_steps_and_gaps_become_pauses() -> None:
    text = scenario(
        entry("GET", "/", page="a"),
        entry("GET", "/list.json", 0.1, page="a"),
        entry("GET", "/item/7", 3.0, page="b"),
        pages={"a": "Start", "b": "Item 7"},
    )
    assert 'with step("Start"):' in text
    assert 'with step("Item 7"):' in text
    assert "pause(2.89)" in text
    assert text.count("pause(") == 2  # the other one is its definition


def test_a_pause_within_a_page_begins_a_new_step() -> None:
    text = scenario(entry("GET", "/"), entry("POST", "/cart", 5.0), entry("GET", "/cart", 5.1))
    assert 'with step("open the first page"):' in text
    assert 'with step("post cart"):' in text
    assert text.count("with step(") == 2


def test_request_names_leave_out_ids_in_paths() -> None:
    text = scenario(entry("GET", "/item/7"), entry("GET", "/a/9f86d081884c7d65/x.json", 0.1))
    assert 'client.get("/item/7", name="GET /item/[id]")' in text
    assert 'name="GET /a/[id]/x.json"' in text


def test_static_files_and_other_hosts_are_left_out_and_counted() -> None:
    entries = [
        entry("GET", "/", kind="text/html"),
        entry("GET", "/a.css", kind="text/css"),
        entry("GET", "/b.js", kind=""),
        entry("GET", "http://ads.test/x"),
        entry("GET", "http://api.test/x", answer={}),
        entry("GET", "ws://shop.test/live", status=101),
        entry("OPTIONS", "/x", headers={"Access-Control-Request-Method": "PUT"}),
        entry("GET", "/gone", status=0),
    ]
    text = scenario(*entries)
    assert text.count("client.get(") == 1
    said = notes(*entries)
    assert "left out: 2 requests for static files (--all)" in said
    assert "left out: 1 request to ads.test (--host ads.test)" in said
    assert "left out: 1 request for WebSockets" in said
    assert "left out: 1 request for CORS preflight" in said
    assert "left out: 1 request without a response" in said
    text = scenario(*entries, hosts=["api.test"])
    assert 'api_url = setting("http://api.test", ' in text
    assert 'client.get(f"{api_url.get()}/x", name="GET /x")' in text
    assert scenario(*entries, everything=True).count("client.get") == 5


def test_an_unknown_host_is_an_error_that_lists_the_recorded_hosts() -> None:
    with pytest.raises(UsageError, match=r"--host b\.test is not in x\.har; it has shop\.test"):
        scenario(entry("GET", "/"), hosts=["b.test"])


def test_a_file_without_requests_is_an_error_that_says_what_was_left_out() -> None:
    with pytest.raises(
        UsageError, match=r"no HTTP request to replay; left out: 1 request for WebS"
    ):
        scenario(entry("GET", "ws://shop.test/live"))
    with pytest.raises(UsageError, match=r"x\.har has no HTTP request to replay$"):
        scenario()


def test_a_token_is_extracted_from_the_response_that_issued_it() -> None:
    token = "a1b2c3d4e5f6a7b8"
    authorized = {"Authorization": f"Bearer {token}"}
    text = scenario(
        entry("POST", "/login", answer={"auth": {"access_token": token}}),
        entry("GET", "/me", 0.1, headers=authorized),
        entry("GET", "/orders", 0.2, headers=authorized),
    )
    assert token not in text
    assert 'access_token = answer.json()["auth"]["access_token"]' in text
    assert 'client.set_header("Authorization", f"Bearer {access_token}")' in text
    assert 'client.get("/me")' in text


def test_a_created_id_is_extracted_and_used_in_later_requests() -> None:
    text = scenario(
        entry("POST", "/orders", status=201, answer={"id": 7}),
        entry("GET", "/orders/7", 0.1),
        entry("PUT", "/pay", 0.2, json_body={"order": 7, "as_text": "7", "n": 1}),
    )
    assert 'order_id = answer.json()["id"]' in text
    assert 'client.get(f"/orders/{order_id}", name="GET /orders/[id]")' in text
    assert 'json={"order": order_id, "as_text": str(order_id), "n": 1}' in text


def test_a_created_id_is_extracted_from_the_location_header() -> None:
    text = scenario(
        entry("POST", "/orders", status=201, answer_headers={"Location": "/orders/7"}),
        entry("GET", "/orders/7", 0.1),
    )
    assert 'order_id = answer.headers["location"].rstrip("/").rpartition("/")[2]' in text
    assert 'f"/orders/{order_id}"' in text


def test_a_likely_id_stays_literal_with_a_comment() -> None:
    text = scenario(
        entry("GET", "/items", answer={"items": [{"id": 3}, {"id": 17}]}),
        entry("GET", "/items/17", 0.1),
    )
    assert '# 17 is likely json()["items"][1]["id"] of GET /items' in text
    assert 'client.get("/items/17", name="GET /items/[id]")' in text


def test_a_value_first_sent_by_the_client_is_not_extracted() -> None:
    name = "customer-4711-abc"
    text = scenario(
        entry("POST", "/login", json_body={"n": {"name": name}}, answer={"name": name}),
        entry("POST", "/hello", 0.1, json_body={"n": {"name": name}}),
    )
    assert text.count(name) == 2
    assert "answer" not in text.partition("def start")[2]


def test_hidden_form_fields_are_extracted_from_their_page() -> None:
    page = '<form><input name="csrf" type="hidden" value="a&amp;b"><input name=q></form>'
    text = scenario(
        entry("GET", "/form", kind="text/html", answer=page),
        entry("POST", "/form", 0.1, form="csrf=a%26b&comment=hi"),
    )
    left = '<input name="csrf" type="hidden" value="'
    assert f"csrf = between(answer, '{left}', '\"')" in text
    assert 'form={"csrf": csrf, "comment": row["comment"]}' in text


def test_cookies_are_left_to_the_session() -> None:
    set_cookie = {"Set-Cookie": "XSRF-TOKEN=abcdef123456%3D; Path=/"}
    text = scenario(
        entry("GET", "/", answer_headers=set_cookie),
        entry("POST", "/x", 0.1, headers={"Cookie": "a=1", "X-XSRF-TOKEN": "abcdef123456="}),
    )
    assert 'headers={"X-Xsrf-Token": unquote(client.cookies["XSRF-TOKEN"])}' in text
    assert "a=1" not in text
    assert any(
        "cookies set before" in one
        for one in notes(entry("GET", "/", headers={"Cookie": "sid=123"}))
    )


def test_responses_without_content_are_noted() -> None:
    one = entry("GET", "/")
    one["response"]["content"] = {"mimeType": "text/html", "size": 100}
    assert any(
        text.startswith("1 response without content in the recording") for text in notes(one)
    )


def test_redirects_are_followed_instead_of_replayed() -> None:
    entries = [
        entry("POST", "/login", status=303, answer_headers={"Location": "/home"}, form="a=1"),
        entry("GET", "/home", 0.1, answer={"token_id": "abcdef123456"}),
        entry("GET", "/t/abcdef123456", 0.2),
    ]
    text = scenario(*entries)
    assert '"/home"' not in text
    assert "answer = client.post(" in text
    assert 'token_id = answer.json()["token_id"]' in text


def test_redirects_to_servers_left_out_are_not_followed() -> None:
    away = {"Location": "http://sso.test/login"}
    text = scenario(
        entry("GET", "/login", status=302, answer_headers=away),
        entry("GET", "http://sso.test/login"),
    )
    assert 'client.get("/login", redirects=0)' in text


def test_recorded_error_statuses_are_allowed() -> None:
    text = scenario(entry("GET", "/me", status=401, answer={}))
    assert "# status was 401 when recorded" in text
    assert 'client.get("/me", allow=401)' in text


SECRETS = {
    "form": entry("POST", "/in", form="name=ann&pass=hunter22secret"),
    "json": entry("POST", "/in", json_body={"deep": [{"clientSecret": "hunter22secret"}]}),
    "query": entry("GET", "/in?api_key=hunter22secret"),
    "header": entry("GET", "/in", headers={"X-Api-Key": "hunter22secret"}),
    "bearer": entry("GET", "/in", headers={"Authorization": "Bearer hunter22secret"}),
    "basic": entry("GET", "/in", headers={"Authorization": "Basic YW5uOmh1bnRlcjIyc2VjcmV0"}),
    "digest": entry("GET", "/in", headers={"Authorization": 'Digest x="hunter22secret"'}),
    "cookie": entry("GET", "/in", headers={"Cookie": "sid=hunter22secret"}),
    "url": entry("GET", "http://ann:hunter22secret@shop.test/in"),
    "xml": entry(
        "POST", "/in", post={"mimeType": "text/xml", "text": "<password>hunter22secret</password>"}
    ),
    "jwt": entry("GET", "/in/eyJhbGciOiJI.eyJodW50ZXIy.hunter22secret"),
    "code": entry("GET", "/callback?code=hunter22secret&state=x"),
    "mailed": entry("GET", "/password/reset/hunter22secret"),
    "again": entry("POST", "/in", form="password=hunter22secret&repeat=hunter22secret"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_credentials_are_never_written(kind: str) -> None:
    written = from_har.convert(archive(SECRETS[kind]), "x.har", "shop")
    everything = b"".join(written.files.values()).decode() + "".join(written.notes)
    assert "hunter22secret" not in everything
    assert "YW5uOmh1bnRlcjIyc2VjcmV0" not in everything


def test_a_credential_is_not_written_even_where_it_was_typed_earlier() -> None:
    entries = [
        entry("GET", "/find?q=hunter22secret"),
        entry("POST", "/note", 0.1, json_body={"text": "hunter22secret"}),
        entry("POST", "/in", 0.2, form="password=hunter22secret"),
    ]
    written = from_har.convert(archive(*entries), "x.har", "shop")
    text = b"".join(written.files.values()).decode()
    assert "hunter22secret" not in text
    assert 'params={"q": password.get()}' in text


def test_credentials_become_settings() -> None:
    text = scenario(SECRETS["form"])
    assert "pass_ = setting(" in text
    assert "return Error(" in text
    text = scenario(SECRETS["basic"])
    assert "auth=(username.get(), password.get())" in text


def test_typed_values_become_a_row_of_the_data_file() -> None:
    written = from_har.convert(
        archive(
            entry("POST", "/in", form="name=ann&city=Ulm%2C+Donau&password=x"),
            entry("POST", "/other", 0.1, form="name=bob&city=Ulm%2C+Donau"),
            entry("GET", "/find?q=caf%C3%A9&page=2", 0.2),
        ),
        "x.har",
        "shop",
    )
    rows = list(csv.DictReader(io.StringIO(written.files["shop.csv"].decode())))
    assert rows == [{"name": "ann", "city": "Ulm, Donau", "name_2": "bob", "q": "café"}]
    text = written.files["shop.py"].decode()
    assert 'form={"name": row["name_2"], "city": row["city"]}' in text
    assert 'params={"q": row["q"], "page": "2"}' in text


def test_long_bodies_become_files() -> None:
    text = "<order>" + "x" * 3000 + "</order>"
    post = {"mimeType": "text/xml", "text": text}
    written = from_har.convert(archive(entry("POST", "/x", post=post)), "x.har", "shop")
    assert written.files["shop_bodies/0.txt"].decode() == text
    assert b'data=HERE / "shop_bodies/0.txt"' in written.files["shop.py"]


def test_each_long_upload_of_a_request_has_its_own_file() -> None:
    part = '--x\r\nContent-Disposition: form-data; name="{0}"; filename="{0}.txt"\r\n\r\n{1}\r\n'
    bodies = ["a" * 3000, "b" * 3000]
    text = "".join(map(part.format, "ab", bodies)) + "--x--\r\n"
    post = {"mimeType": "multipart/form-data; boundary=x", "text": text}
    written = from_har.convert(archive(entry("POST", "/x", post=post)), "x.har", "shop")
    kept = [written.files[f"shop_bodies/{name}"].decode() for name in ("0", "0-2")]
    assert kept == bodies
    assert b'HERE / "shop_bodies/0-2"' in written.files["shop.py"]


def test_graphql_operations_are_part_of_the_name() -> None:
    query = {"operationName": "Items", "query": "query Items { items { id } }", "variables": {}}
    assert 'name="POST /graphql Items"' in scenario(entry("POST", "/graphql", json_body=query))


def test_any_http_method_can_be_replayed() -> None:
    assert 'client.request("PROPFIND", "/x")' in scenario(entry("PROPFIND", "/x"))


def test_settings_do_not_clash_with_existing_ones() -> None:
    text = scenario(entry("GET", "/?token=abc"), taken_names={"token"})
    assert 'token_2 = setting("", ' in text


def test_the_output_passes_formatters_and_linters(tmp_path) -> None:
    page = '<input name="csrf" type="hidden" value="0123456789ab">'
    entries = [
        entry("GET", "/", kind="text/html", answer=page, page="p"),
        entry("POST", "/in", 3, form="csrf=0123456789ab&name=ann&password=pw", page="q"),
        entry("POST", "/orders", 4, json_body={"a": list(range(60))}, answer={"id": 7}),
        entry("GET", f"/orders/7?{'x' * 80}=1", 5, headers={"X-Long": "y" * 90, "X-Other": "z"}),
        entry("GET", "http://api.test/{brace}'quote", 6),
        *SECRETS.values(),
    ]
    titles = {"p": 'A "title"', "q": "x" * 200}
    file = tmp_path / "shop.py"
    file.write_text(scenario(*entries, everything=True, pages=titles))
    rules = ["--select=B,C4,E,F,I,N,PIE,PLC,PLE,RET5,SIM,UP,W", "--ignore=E501,RET503"]
    for command in (["format", "--diff"], ["check", *rules]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command[:1], "--isolated", *command[1:], str(file)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_title_with_a_credential_is_not_used_as_a_name() -> None:
    text = scenario(
        entry("GET", "/x?token=hunter22secret", page="p"), pages={"p": "Hello hunter22secret"}
    )
    assert 'with step("open x"):' in text
    assert "hunter22secret" not in text


def lasting(seconds: float, made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "time": seconds * 1000}


def test_requests_that_overlapped_in_the_browser_run_concurrently() -> None:
    text = scenario(
        lasting(0.9, entry("GET", "/", 0.0, kind="text/html")),
        lasting(0.5, entry("GET", "/a", 1.0)),
        lasting(0.3, entry("GET", "/b", 1.1)),
        lasting(0.5, entry("GET", "/c", 1.2)),
        lasting(0.5, entry("GET", "/d", 1.45)),  # after the response to /b, which it may need
        lasting(0.1, entry("GET", "/e", 2.2)),
    )
    assert text.count("with user.together() as beside:") == 1
    block = """
            with user.together() as beside:
                beside(client.get, "/a")
                beside(client.get, "/b")
                beside(client.get, "/c")
            client.get("/d")
            client.get("/e")
"""
    assert block in text


def test_a_request_whose_response_is_needed_runs_alone() -> None:
    text = scenario(
        lasting(0.5, entry("GET", "/a", 0.0)),
        lasting(0.5, entry("POST", "/token", 0.1, answer={"token": "k3jh4kj2h34kj2h3"})),
        lasting(0.5, entry("GET", "/b", 0.2)),
        lasting(0.5, entry("GET", "/c", 1.0, headers={"Authorization": "Bearer k3jh4kj2h34kj2h3"})),
    )
    assert "together" not in text
    assert 'answer = client.post("/token")' in text


def test_a_step_with_only_concurrent_requests_is_one_block() -> None:
    text = scenario(*(lasting(0.5, entry("GET", f"/{one}", 0.0)) for one in "ab"))
    assert ', user.together() as beside:\n            beside(client.get, "/a")\n' in text
