"""Malicious archives, which must not be unpacked."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

SHOP = b'"""A shop."""\n\n\ndef start(user_id): ...\n'


def tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def packed(*files: tuple[str, bytes], attributes: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = attributes << 16
            archive.writestr(info, data)
    return file.getvalue()


MAIN = (member("shop.py"), SHOP)
BOMB = bytes(65 << 20)


def bomb_in_a_header() -> bytes:
    """Return a tar file with a header of a gigabyte of zeros, which compresses well."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    parts = [packer.compress(info.tobuf())]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(70)]
    return b"".join([*parts, packer.flush()])


ATTACKS: dict[str, Callable[[], bytes]] = {
    "only relative": lambda: tar(MAIN, (member("../../evil.py"), b"")),
    "only relative, absolute": lambda: tar(MAIN, (member("/tmp/evil.py"), b"")),
    "only relative, zip": lambda: packed(("shop.py", SHOP), ("../evil.py", b"")),
    "only relative, backslash": lambda: packed(("shop.py", SHOP), ("..\\evil.py", b"")),
    "only relative, hidden": lambda: tar(MAIN, (member(".ssh/authorized_keys"), b"")),
    "only files": lambda: tar(MAIN, (member("x.py", type=tarfile.SYMTYPE, linkname="/etc"), b"")),
    "only files, hard": lambda: tar(
        MAIN, (member("x.py", type=tarfile.LNKTYPE, linkname="shop.py"), b"")
    ),
    "only files, device": lambda: tar(MAIN, (member("x", type=tarfile.CHRTYPE), b"")),
    "no links": lambda: packed(("shop.py", b"/etc/passwd"), attributes=0o120777),
    "at most": lambda: packed(("shop.py", SHOP), ("bomb.bin", BOMB)),
    "at most, tar": lambda: tar(MAIN, (member("bomb.bin"), BOMB)),
    "at most, header": bomb_in_a_header,
    "at most 1000 files": lambda: packed(("shop.py", SHOP), *((f"f{n}", b"") for n in range(1000))),
    "each name once": lambda: tar(MAIN, MAIN),
    "damaged": lambda: packed(("shop.py", SHOP * 100))[:-30],
    "must hold shop.py": lambda: packed(("other.py", SHOP)),
    "as a file or as": lambda: tar(MAIN, (member("shop.py/x.py"), b"")),
}


def reason(why: str) -> str:
    """Return the error message for the attack of that name."""
    expected = {
        "only relative": "must be relative",
        "only files": "only files and directories",
        "at most": "at most",
    }
    text = why.partition(",")[0]
    return expected.get(text, text)
