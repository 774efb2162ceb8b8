"""Page tokens: a keyset cursor, signed together with the call it belongs to (AIP-158)."""

import base64
import binascii
import hashlib
import hmac
import re

from google.protobuf.message import Message

from webhooks_server.domain.errors import InvalidArgument, invalid

_CURSOR_BYTES = 8
_MAC_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class PageTokens:
    """Makes and reads page tokens; they hold on every server that has the same key."""

    def __init__(self, key: bytes) -> None:
        """Take the key of the store."""
        self._key = key

    def issue(self, request: Message, cursor: int | None) -> str:
        """Return the token of the page that begins below this cursor; empty where there is none."""
        if cursor is None:
            return ""
        plain = cursor.to_bytes(_CURSOR_BYTES)
        return base64.urlsafe_b64encode(plain + self._mac(request, plain)).decode().rstrip("=")

    def read(self, request: Message, token: str) -> int | None:
        """Return the cursor of a token, None for the first page; raises InvalidArgument."""
        if not token:
            return None
        # The decoder passes over whatever is not in its alphabet.
        if _TOKEN.fullmatch(token) is None:
            raise _wrong()
        try:
            signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except binascii.Error:
            raise _wrong() from None
        plain, mac = signed[:_CURSOR_BYTES], signed[_CURSOR_BYTES:]
        if not hmac.compare_digest(mac, self._mac(request, plain)):
            raise _wrong()
        return int.from_bytes(plain)

    def _mac(self, request: Message, plain: bytes) -> bytes:
        """Sign the cursor with the call's type and arguments, but for those that may change."""
        bare = type(request)()
        bare.CopyFrom(request)
        bare.ClearField("page_token")
        bare.ClearField("page_size")
        arguments = bare.SerializeToString(deterministic=True)
        name = request.DESCRIPTOR.full_name.encode()
        text = b"%d.%b%b%b" % (len(name), name, hashlib.sha256(arguments).digest(), plain)
        return hmac.digest(self._key, text, "sha256")[:_MAC_BYTES]


def _wrong() -> InvalidArgument:
    return invalid(
        "page_token",
        "must be the next_page_token of the same call with the same arguments",
        "INVALID_PAGE_TOKEN",
    )
