"""Secrets as text, and the keys that they stand for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from posthorn.formats import SecretEncoding, Signature

Check = Callable[[bytes, Sequence[str]], bool]
"""Whether one of several signatures, as the header has them without their prefix, is good for a signed text."""

_HASHES = {"hmac-sha256": hashlib.sha256, "hmac-sha384": hashlib.sha384, "hmac-sha512": hashlib.sha512}
_MAX_BYTES = 512
# Checking one takes about 0.1 ms, and anybody may send a header full of them; nobody has so many live keys.
_MAX_ED25519_CANDIDATES = 16
_ED25519_SIGNATURE_BYTES = 64


class BadSecretError(ValueError):
    """A secret that its format cannot use. The message never repeats it."""


def check_with(secret: object, encoding: SecretEncoding, signature: Signature) -> Check:
    """
    How a secret checks one signature.

    :raises BadSecretError: says what is wrong with the secret.
    :raises ImportError: ed25519 needs the package ``cryptography``.
    """
    if not isinstance(secret, str):
        raise BadSecretError("is not text; give a string")
    if signature.algorithm == "ed25519":
        return _ed25519_check(_public_key_bytes(secret))
    key = _decode(secret, encoding)
    digest = _HASHES[signature.algorithm]
    spell = bytes.hex if signature.encoding == "hex" else _to_base64

    def check(signed: bytes, candidates: Sequence[str]) -> bool:
        expected = spell(hmac.new(key, signed, digest).digest()).encode()
        # To the last one, so that the time taken does not tell which it was.
        return any([hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected) for given in candidates])

    return check


def _decode(secret: str, encoding: SecretEncoding) -> bytes:
    if secret == "":
        raise BadSecretError("is empty")
    if encoding == "utf8":
        if secret != secret.strip().strip("\ufeff") or any(unicodedata.category(letter) == "Cc" for letter in secret):
            raise BadSecretError("has a line break, a control character, or white space at an end; paste it without")
        try:
            return _bounded(secret.encode(), 1, _MAX_BYTES)
        except UnicodeEncodeError:
            raise BadSecretError("has half of a surrogate pair, which has no UTF-8 bytes") from None
    if encoding == "hex":
        if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", secret):
            raise BadSecretError("is not hex")
        return _bounded(bytes.fromhex(secret), 1, _MAX_BYTES)
    if encoding == "base64":
        return _bounded(_from_base64(secret), 1, _MAX_BYTES)
    if secret.startswith(("whsk_", "whpk_")):
        raise BadSecretError('is an ed25519 key, and this format signs with HMAC; give one that begins with "whsec_"')
    # Standard Webhooks 1.0.0, "Signature scheme": 24 to 64 bytes.
    return _bounded(_from_base64(secret.removeprefix("whsec_")), 24, 64)


def _public_key_bytes(secret: str) -> bytes:
    """Of ``whpk_`` and 32 bytes, or ``whsk_`` and 64, of which the last 32 are the public key, or 32, its seed."""
    if secret.startswith("whpk_"):
        return _bounded(_from_base64(secret.removeprefix("whpk_")), 32, 32)
    if not secret.startswith("whsk_"):
        raise BadSecretError('is not an ed25519 key; give the public key, which begins with "whpk_"')
    raw = _from_base64(secret.removeprefix("whsk_"))
    if len(raw) not in (32, 64):
        raise BadSecretError(f"stands for {len(raw)} bytes; an ed25519 key has 32 or 64")
    public_key: bytes = _cryptography().Ed25519PrivateKey.from_private_bytes(raw[:32]).public_key().public_bytes_raw()
    if len(raw) == 64 and raw[32:] != public_key:
        raise BadSecretError("has a public key that does not belong to its seed")
    return public_key


def _ed25519_check(public_key: bytes) -> Check:
    ed25519 = _cryptography()
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError:
        raise BadSecretError("is not a point of the curve") from None

    def matches(signed: bytes, given: bytes) -> bool:
        try:
            key.verify(given, signed)
        except ed25519.InvalidSignature:
            return False
        return True

    def check(signed: bytes, candidates: Sequence[str]) -> bool:
        well_formed = [raw for raw in map(_signature_bytes, candidates) if raw is not None]
        return any(matches(signed, raw) for raw in well_formed[:_MAX_ED25519_CANDIDATES])

    return check


def _signature_bytes(text: str) -> bytes | None:
    try:
        raw = _from_base64(text)
    except BadSecretError:
        return None
    return raw if len(raw) == _ED25519_SIGNATURE_BYTES else None


def _cryptography() -> Any:
    """The one part of ``cryptography`` that is needed, when it is needed."""
    try:
        from posthorn import ed25519
    except ImportError as error:
        raise ImportError(
            "To verify ed25519 signatures install the package cryptography: pip install 'posthorn[ed25519]'"
        ) from error
    return ed25519


def _bounded(raw: bytes, least: int, most: int) -> bytes:
    if least <= len(raw) <= most:
        return raw
    wanted = f"{least}" if least == most else f"{least} to {most}"
    raise BadSecretError(f"stands for {len(raw)} bytes; it should be {wanted}")


def _from_base64(text: str) -> bytes:
    """Strict, as RFC 4648, section 4: decoders differ on everything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if text == "" or _to_base64(raw) != text:
        raise BadSecretError("is not base64")
    return raw


def _to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
