"""What a client takes for its token."""

from __future__ import annotations

from pathlib import Path

import pytest

from amoc.base.errors import UsageError
from amoc.client.http_line import token_in


def test_the_file_of_a_server_is_not_taken_for_a_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("  0123456789abcdef\n")
    assert token_in(file) == "0123456789abcdef"
    for text in ("admin 0123456789abcdef\n", "0123456789abcdef\nfedcba9876543210\n", "\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match="must hold a token and nothing else") as refused:
            token_in(file)
        assert "0123456789abcdef" not in str(refused.value)
