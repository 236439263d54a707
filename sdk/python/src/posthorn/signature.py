"""The signature over a body alone, as ``X-Grantex-Signature`` has it."""

from __future__ import annotations

import hashlib
import hmac


def verify_webhook_signature(payload: str | bytes, signature: str, secret: str) -> bool:
    """
    Whether ``signature`` is ``sha256=`` and the hex HMAC-SHA256 of the raw body. Compares in constant time.

    Never raises, whatever types come in: what cannot be right is false, and so is everything under an empty secret. To
    know why it is false, and for the formats that sign more than the body, use :func:`posthorn.verify_webhook`.

    :param payload: the raw request body, not what was parsed from it
    :param signature: the header's value
    :param secret: the webhook's secret, as text
    """
    body = bytes_of(payload)
    key = bytes_of(secret)
    given = bytes_of(signature)
    if body is None or given is None or not key:
        return False
    expected = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given, expected.encode())


def bytes_of(value: object) -> bytes | None:
    """Text as UTF-8, and bytes as they are; ``None`` for what is neither, or is text that has no UTF-8 bytes."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, memoryview):
        return value.tobytes()
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            return None
    return None
