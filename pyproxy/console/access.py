"""Who may use the console: whoever reaches it may look; to change something takes the token of the terminal."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from pyproxy.admin.guard import Guard

TOKEN_BYTES = 18


class Access:
    """Admits requests by their headers. Another site's page is refused by Host, Origin and Sec-Fetch-Site."""

    def __init__(self, bound: str) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self._guard = Guard(bound)

    def refusal(self, method: str, headers: Mapping[str, str]) -> str:
        """Why nobody who sends this may even look; empty when it is welcome."""
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not _is_a_visit(method, headers):
            return "Another site's page may not read this."
        refusal = self._guard.refusal(method, headers)
        if not refusal and method == "POST" and headers.get("Content-Type", "").partition(";")[0] != "application/json":
            return "Send JSON, as application/json."  # a form of another site cannot
        return refusal

    def may_change(self, headers: Mapping[str, str]) -> bool:
        """Whether the token came along: `Authorization: Bearer TOKEN`."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self.token.encode())


def _is_a_visit(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a person follows a link to here, and no script reads."""
    return (
        method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    )
