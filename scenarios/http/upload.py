"""Users upload files, small ones as forms and large ones in chunks, and download them again.

amoc run scenarios/http/upload.py --users 20 --duration 1m --set base=http://127.0.0.1:8080
"""

from amoc import check, expect, http, setting, user

base = setting("http://127.0.0.1:8080", "Base address of the server")
size = setting(1_000_000, "Size of a large file, in bytes", verify=lambda n: n > 0)
pause = setting(1.0, "Mean seconds between two uploads", verify=lambda s: s > 0)

PIECE = 64 << 10
expect("crashes == 0")


def start(user_id):
    with http.session(base.get(), timeout=60) as store:
        number = 0
        while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
            number += 1
            picture = (f"{user_id}.png", b"\x89PNG" + bytes(1000), "image/png")
            form = {"title": f"picture {number}"}
            store.post("/pictures", files={"file": picture}, form=form).check(status=201)

            where = {"name": f"{user_id}-{number}.bin"}
            # Chunks are generated while they are sent: the whole file is never in memory. The
            # server may refuse it before that, based on its headers (Expect: 100-continue).
            store.put("/files/{name}", path=where, data=pieces(size.get()), expect_continue=True)
            with store.stream("GET", "/files/{name}", path=where) as answer:
                came = sum(len(chunk) for chunk in answer.chunks())
            check("the file is whole", came == size.get(), f"{came} bytes")
            store.delete("/files/{name}", path=where)


def pieces(total):
    while total > 0:
        yield bytes(min(PIECE, total))
        total -= PIECE
