"""Verification of deliveries, in every format that Posthorn speaks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from posthorn.formats import Signature, WireFormat, format_of
from posthorn.keys import BadSecretError, Check, check_with
from posthorn.received import ReceivedEvent, read_event
from posthorn.rewritten import rewritings
from posthorn.signature import bytes_of

RefusalCode = Literal["missing_header", "bad_header", "no_match", "too_old", "too_new", "bad_secret"]
Hint = Literal["body_reserialised"]

_MAX_HEADER_LENGTH = 8192
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Verified:
    """The delivery is genuine. True in an ``if``."""

    event: ReceivedEvent | None
    """``None`` where the body is not JSON."""
    ok: Literal[True] = True

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True)
class Refused:
    """The delivery is not to be trusted. False in an ``if``."""

    code: RefusalCode
    message: str
    """What is wrong, and what to do about it, for people; holds no secret."""
    hint: Hint | None = None
    """More about ``no_match``, where it can be told: the secret is right, and the body is not as it was sent."""
    ok: Literal[False] = False

    def __bool__(self) -> Literal[False]:
        return False


Verification: TypeAlias = Verified | Refused


class Headers(Protocol):
    """What has names and values: a mapping, or what frameworks have in its place."""

    def items(self) -> Iterable[tuple[Any, Any]]: ...


def verify_webhook(
    *,
    payload: str | bytes,
    headers: Headers | Iterable[tuple[Any, Any]],
    secret: str | None = None,
    secrets: Sequence[str] = (),
    format: str | WireFormat = "standard",
    tolerance_seconds: float = 300,
    now: float | None = None,
) -> Verification:
    """
    Whether a delivery was signed with one of the secrets, and what it says.

    Every signature of the format must be there and match, and a signed time must be near ``now``. Compares in constant
    time. Whatever arrived, the answer is a value.

    :param payload: the raw body as it arrived, not what was parsed from it
    :param headers: by name in any letter case; values are text or lists of text
    :param secret: the webhook's secret; for ``standard-ed25519`` its public key, ``whpk_…``
    :param secrets: several, any one of which may have signed: while they rotate
    :param format: a preset's name (``standard``, ``standard-ed25519``, ``grantex``, ``grantiva``, ``gravv``,
        ``lexigram``), or a format of your own
    :param tolerance_seconds: how far a signed time may be from ``now``, either way
    :param now: unix time in seconds; default the clock
    :raises ValueError: there is no such preset.
    :raises ImportError: ed25519 needs the package ``cryptography``: ``pip install 'posthorn[ed25519]'``.
    """
    wire_format = format_of(format)
    keys = _read_keys(wire_format, secret, secrets)
    if isinstance(keys, Refused):
        return keys
    body = bytes_of(payload)
    if body is None:
        return Refused("no_match", "The payload must be the raw text or bytes of the request, not what was parsed.")
    found = _read_headers(headers)
    signed_at: int | None = None
    for index, signature in enumerate(wire_format.signatures):
        checks = [key[index] for key in keys]
        refusal = _verify_signature(wire_format, signature, checks, found, body)
        if refusal is not None:
            return refusal
        if wire_format.timestamp_header in signature.signed_headers:
            signed_at = int(str(found[wire_format.timestamp_header.lower()]))
    too_far = None if signed_at is None else _check_age(signed_at, tolerance_seconds, now)
    if too_far is not None:
        return too_far
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    return Verified(read_event(wire_format.envelope, body, texts))


def check_secrets(format: str | WireFormat, secrets: Sequence[str]) -> None:
    """
    Finds mistakes before the first delivery does.

    :raises ValueError: there is no such preset, no secret, or one that the format cannot use.
    """
    refusal = _read_keys(format_of(format), None, secrets)
    if isinstance(refusal, Refused):
        raise ValueError(refusal.message)


def _read_keys(format: WireFormat, secret: object, secrets: object) -> list[list[Check]] | Refused:
    """For each secret, its check of each signature."""
    # A text is a sequence too, of its characters.
    several = list(secrets) if isinstance(secrets, (list, tuple, set, frozenset)) else [secrets]
    given = several if secret is None else [secret, *several]
    if not given:
        return Refused("bad_secret", "Give at least one secret.")
    keys: list[list[Check]] = []
    for number, text in enumerate(given):
        try:
            keys.append([check_with(text, format.secret_encoding, signature) for signature in format.signatures])
        except BadSecretError as error:
            name = "The secret" if len(given) == 1 else f"Secret number {number + 1}"
            return Refused("bad_secret", f"{name} {error}.")
    return keys


_Headers: TypeAlias = dict[str, "str | Refused"]


def _verify_signature(
    format: WireFormat, signature: Signature, checks: Sequence[Check], headers: _Headers, body: bytes
) -> Refused | None:
    """Tries the header and, while secrets rotate, its companion; ``None`` = one of them is good."""
    names = [signature.header]
    companion = signature.alternate_header or f"{signature.header}-Alternate"
    if not signature.is_list and companion.lower() in headers:
        names.append(companion)
    refusal: Refused | None = None
    for name in names:
        refusal = _verify_header(format, signature, name, checks, headers, body)
        if refusal is None or refusal.code != "no_match":
            return refusal
    # Only now, as a companion is there in every other delivery of a rotation, and this takes longer than the rest.
    for name in names:
        explained = _explain(format, signature, name, checks, headers, body)
        if explained is not None:
            return explained
    return refusal


def _verify_header(
    format: WireFormat, signature: Signature, name: str, checks: Sequence[Check], headers: _Headers, body: bytes
) -> Refused | None:
    value = _header_text(headers, name)
    if isinstance(value, Refused):
        return value
    candidates = _candidates(signature, value)
    if candidates is None:
        return Refused("bad_header", f"The header {name} came more than once.")
    if not candidates:
        return Refused("bad_header", f"The header {name} holds nothing of the form {signature.prefix}<signature>.")
    before = ""
    for signed_header in signature.signed_headers:
        text = _header_text(headers, signed_header)
        if isinstance(text, Refused):
            return text
        if signed_header == format.timestamp_header and not _UNIX_SECONDS.fullmatch(text):
            return Refused("bad_header", f"The header {signed_header} is not a time in unix seconds.")
        before += f"{text}."
    lead = before.encode("utf-8", "surrogatepass")
    if any([check(lead + body, candidates) for check in checks]):
        return None
    return Refused(
        "no_match",
        f"No signature in {name} was made with a given secret over this body: either the secret is another webhook's, "
        "or the body was changed. Verify the bytes as they arrived, before anything parses them.",
    )


def _candidates(signature: Signature, value: str) -> list[str] | None:
    """
    The signatures of this kind, without their prefix; others are passed over. ``None`` where a server joined two
    headers, which it does with a comma and a space: no signature ends with a comma.
    """
    # A companion is a list too: with three live secrets it holds two.
    items = value.split(" ")
    if any(item.endswith(",") for item in items):
        return None
    prefix = signature.prefix
    return [item.removeprefix(prefix) for item in items if item.startswith(prefix) and len(item) > len(prefix)]


def _explain(
    format: WireFormat, signature: Signature, name: str, checks: Sequence[Check], headers: _Headers, body: bytes
) -> Refused | None:
    """
    Was it genuine before something rewrote its body? Asked of what was read and did not match, so every header is there.
    It stays a refusal: what is here is not what was signed.
    """
    # A stranger decides how many signatures there are, and the search for the cause is not worth more than a few.
    candidates = (_candidates(signature, str(headers[name.lower()])) or [])[:4]
    lead = "".join(f"{headers[header.lower()]}." for header in signature.signed_headers).encode("utf-8", "surrogatepass")
    for rewriting in rewritings(body):
        if any(check(lead + rewriting, candidates) for check in checks):
            return Refused(
                "no_match",
                "The secret is right, and the body was parsed and written again, or white space was added to it. "
                "Verify the bytes as they arrived, before anything parses them.",
                "body_reserialised",
            )
    return None


def _check_age(signed_at: int, tolerance_seconds: float, now: float | None) -> Refused | None:
    """Both sides in whole seconds, and written so that NaN on any side refuses."""
    age = (time.time() if now is None else now) // 1 - signed_at
    if abs(age) <= tolerance_seconds:
        return None
    limit = f"the tolerance is {tolerance_seconds:g} s"
    if age < 0:
        return Refused("too_new", f"The signature is dated {-age:.0f} s ahead; {limit}. Check the clock.")
    return Refused("too_old", f"The signature is {age:.0f} s old; {limit}. It may be a replay, or the clock is wrong.")


def _header_text(headers: _Headers, name: str) -> str | Refused:
    value = headers.get(name.lower())
    return Refused("missing_header", f"The header {name} is missing.") if value is None else value


def _read_headers(headers: object) -> _Headers:
    """By lower-case name; a header that came twice, or is not text, is the refusal to give when it is needed."""
    found: _Headers = {}
    for name, given in _pairs(headers):
        for value in given if isinstance(given, (list, tuple)) else (given,):
            if value is None:
                continue
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if name in found:
                found[name] = Refused("bad_header", f"The header {name} came more than once.")
            elif not isinstance(text, str) or len(text) > _MAX_HEADER_LENGTH:
                problem = f"The header {name} is not text of at most {_MAX_HEADER_LENGTH} characters."
                found[name] = Refused("bad_header", problem)
            else:
                # What HTTP calls white space (RFC 9110, section 5.6.3), and line breaks.
                found[name] = text.strip(" \t\r\n")
    return found


def _pairs(headers: object) -> Iterable[tuple[str, object]]:
    """Names in lower case and values, of a mapping, of what frameworks have in its place, or of a list of pairs."""
    items = getattr(headers, "items", None)
    pairs = items() if callable(items) else headers
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes)):
        return
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            continue
        name, value = pair
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        if isinstance(text, str):
            yield text.lower(), value
