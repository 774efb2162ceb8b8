"""Signing secrets: made, checked, and never shown by accident."""

import base64
import re
import secrets

PREFIX = "whsec_"
_VISIBLE = re.compile(r"[!-~]{8,256}", re.ASCII)


class Secret:
    """A text that prints as asterisks; only reveal() gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take the clear text."""
        self._text = text

    def reveal(self) -> str:
        """Return the clear text."""
        return self._text

    def __repr__(self) -> str:
        """Return a mask."""
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        """Compare by text."""
        return isinstance(other, Secret) and secrets.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        """Hash by text."""
        return hash(self._text)


def new_signing_secret() -> Secret:
    """Make a secret of 32 random bytes in the form of Standard Webhooks."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def standard_key(secret: Secret) -> bytes | None:
    """Return the key bytes for Standard Webhooks signatures.

    None where the secret is a passphrase.
    """
    text = secret.reveal()
    if not text.startswith(PREFIX):
        return None
    try:
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:
        return None


def hub_key(secret: Secret) -> bytes:
    """Return the key bytes for X-Hub-Signature-256.

    The secret as it was given, with its prefix (GitHub).
    """
    return secret.reveal().encode()


def signing_secret_problem(text: str) -> str | None:
    """Tell what is wrong with a secret that a caller supplies, or None; never guesses at base64."""
    if text.startswith(PREFIX):
        key = standard_key(Secret(text))
        if key is None:
            return "must be whsec_ followed by standard base64"
        if not 24 <= len(key) <= 64:  # noqa: PLR2004
            return f"must hold 24 to 64 bytes after whsec_, holds {len(key)}"
        return None
    if _VISIBLE.fullmatch(text) is None:
        return "must be whsec_ and base64 of 24 to 64 bytes, or 8 to 256 visible ASCII characters"
    return None
