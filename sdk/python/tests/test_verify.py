"""Verification beyond the vectors: causes, shapes of input, garbage."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from posthorn import (
    PRESETS,
    Refused,
    Signature,
    Verified,
    WireFormat,
    verify_webhook,
    verify_webhook_signature,
)
from posthorn.verify import check_secrets

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_768_469_401
BODY = '{"type":"order.paid","timestamp":"2026-01-15T09:30:00.250Z","data":{"name":"Zoë","total":[1,2.5]}}'


def signed(body: str | bytes = BODY, id: str = "evt_1", key: bytes = KEY) -> dict[str, str]:
    raw = body.encode() if isinstance(body, str) else body
    mac = hmac.new(key, f"{id}.{NOW}.".encode() + raw, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": id, "webhook-timestamp": str(NOW), "webhook-signature": signature}


def verify(payload: Any = BODY, headers: Any = None, **more: Any) -> Verified | Refused:
    options: dict[str, Any] = {"secret": SECRET, "now": NOW, **more}
    return verify_webhook(payload=payload, headers=signed() if headers is None else headers, **options)


def code_of(result: Verified | Refused) -> str:
    return "ok" if result.ok else result.code


def test_results_are_frozen_and_tell_themselves_apart_in_an_if() -> None:
    good, bad = verify(), verify(BODY + "x")
    assert good and not bad
    with pytest.raises(FrozenInstanceError):
        good.ok = False  # type: ignore[assignment, misc]


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: json.dumps(content),
        lambda content: json.dumps(content, indent=2),
        lambda content: json.dumps(content, separators=(",", ":")),
        lambda content: json.dumps(content, ensure_ascii=False) + "\n",
        lambda content: "\ufeff" + BODY,
    ],
)
def test_a_body_that_was_parsed_and_written_again_is_refused_and_named_as_such(rewrite: Callable[[Any], str]) -> None:
    result = verify(rewrite(json.loads(BODY)))
    assert not result.ok
    assert (result.code, result.hint) == ("no_match", "body_reserialised")
    assert "as they arrived" in result.message


def test_a_body_with_carriage_returns_put_in_is_named_as_such() -> None:
    lines = '{\n"data": 1\n}'
    result = verify(lines.replace("\n", "\r\n"), signed(lines))
    assert not result.ok and result.hint == "body_reserialised"


def test_another_secret_is_not_taken_for_a_rewritten_body() -> None:
    result = verify(secret="whsec_" + base64.b64encode(b"x" * 32).decode())
    assert not result.ok
    assert (result.code, result.hint) == ("no_match", None)
    assert "secret" in result.message


def test_a_parsed_body_is_refused_with_what_to_give_instead() -> None:
    result = verify(json.loads(BODY))
    assert not result.ok and "raw" in result.message


def test_messages_hold_no_secret() -> None:
    for secret in ("whsec_not*base64", "", "whsk_" + "A" * 44, "whsec_AAAA"):
        result = verify(secret=secret)
        assert not result.ok and result.code == "bad_secret"
        assert secret == "" or secret not in result.message


def test_one_secret_among_several_is_enough_and_a_bad_one_is_named_by_its_number() -> None:
    other = "whsec_" + base64.b64encode(b"y" * 32).decode()
    assert verify(secret=None, secrets=[other, SECRET]).ok
    assert verify(secret=other, secrets=[SECRET]).ok
    result = verify(secret=None, secrets=[SECRET, "whsec_?"])
    assert not result.ok and result.code == "bad_secret" and "number 2" in result.message


@pytest.mark.parametrize(
    "headers",
    [
        signed(),
        {name.title(): value for name, value in signed().items()},
        {name: [value] for name, value in signed().items()},
        {name.encode(): value.encode() for name, value in signed().items()},
        list(signed().items()),
        [(name.encode(), value.encode()) for name, value in signed().items()],
        httpx.Headers(signed()),
        {**signed(), "x-other": ["1", "2"], "x-none": None},
    ],
)
def test_headers_may_come_in_every_shape_that_frameworks_have(headers: Any) -> None:
    assert verify(headers=headers).ok


@pytest.mark.parametrize("payload", [BODY, BODY.encode(), bytearray(BODY.encode()), memoryview(BODY.encode())])
def test_payloads_may_be_text_or_bytes(payload: Any) -> None:
    assert verify(payload).ok


def test_without_now_the_clock_is_asked() -> None:
    result = verify(now=None)
    assert not result.ok and result.code == "too_old"
    assert verify(now=None, tolerance_seconds=float("inf")).ok


@pytest.mark.parametrize("now", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_none_refuses(now: float) -> None:
    assert not verify(now=now).ok


def test_a_body_that_is_not_json_verifies_and_has_no_event() -> None:
    for body in ("", "not json", "[" * 100_000, b"\xff\xfe"):
        result = verify(body, signed(body))
        assert result.ok and result.event is None


def test_a_body_of_another_shape_is_the_data_of_its_event() -> None:
    for body, data in (("[1]", [1]), ("null", None), ('{"a":1}', {"a": 1})):
        result = verify(body, signed(body))
        assert result.ok and result.event is not None
        assert (result.event.data, result.event.type, result.event.id) == (data, None, "evt_1")


def test_a_format_of_ones_own_is_verified_like_a_preset() -> None:
    format = WireFormat(
        signatures=(
            Signature(header="X-Acme-Signature-512", algorithm="hmac-sha512", prefix="sha512="),
            Signature(
                header="X-Acme-Signature", algorithm="hmac-sha384", encoding="base64", signed_headers=("X-Acme-Time",)
            ),
        ),
        secret_encoding="hex",
        timestamp_header="X-Acme-Time",
    )
    headers = {
        "X-Acme-Signature-512": "sha512=" + hmac.new(KEY, BODY.encode(), hashlib.sha512).hexdigest(),
        "X-Acme-Time": str(NOW),
        "X-Acme-Signature": base64.b64encode(
            hmac.new(KEY, f"{NOW}.{BODY}".encode(), hashlib.sha384).digest()
        ).decode(),
    }
    assert verify(headers=headers, secret=KEY.hex(), format=format).ok
    for name in headers:
        broken = {**headers, name: headers[name][:-2] + "00"}
        assert not verify(headers=broken, secret=KEY.hex(), format=format).ok
    assert code_of(verify(headers=headers, secret=KEY.hex(), format=format, now=NOW + 301)) == "too_old"
    assert code_of(verify(headers=headers, secret="xyz", format=format)) == "bad_secret"


def test_an_unknown_preset_is_the_callers_mistake_and_raises() -> None:
    with pytest.raises(ValueError, match="standard, standard-ed25519, grantex"):
        verify(format="standart")


@pytest.mark.parametrize("spelling", ["whsec_" + "A" * 42 + "B=", "whsec_" + "A" * 43, "whsec_" + "A" * 43 + "=\n"])
def test_base64_that_decoders_read_differently_is_refused(spelling: str) -> None:
    assert code_of(verify(secret=spelling)) == "bad_secret"


def test_secrets_are_checked_ahead_of_the_first_delivery() -> None:
    check_secrets("standard", [SECRET])
    for format, secrets in (("standard", []), ("standard", ["short"]), ("gravv", [""]), ("grantex", ["a\n"])):
        with pytest.raises(ValueError):
            check_secrets(format, secrets)


def test_ed25519_without_cryptography_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "posthorn.ed25519" or name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    # A package keeps what was imported of it.
    monkeypatch.delattr("posthorn.ed25519", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'posthorn\[ed25519\]'"):
        verify(secret="whpk_" + base64.b64encode(b"\x01" * 32).decode(), format="standard-ed25519")
    assert verify().ok


def test_only_sixteen_public_key_signatures_are_tried() -> None:
    private = Ed25519PrivateKey.from_private_bytes(KEY)
    public_key = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    good = "v1a," + base64.b64encode(private.sign(f"evt_1.{NOW}.{BODY}".encode())).decode()
    forged = "v1a," + base64.b64encode(bytes(64)).decode()
    malformed = "v1a," + "!" * 88
    for before, expected in (([forged] * 15, "ok"), ([forged] * 16, "no_match"), ([malformed] * 40, "ok")):
        headers = {**signed(), "webhook-signature": " ".join([*before, good])}
        assert code_of(verify(headers=headers, secret=public_key, format="standard-ed25519")) == expected


def test_two_headers_that_a_server_joined_are_refused() -> None:
    headers = signed()
    headers["webhook-signature"] = "v1,d3Jvbmc=, " + headers["webhook-signature"]
    assert code_of(verify(headers=headers)) == "bad_header"


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(" \t", "\r\n", "ok"), ("\xa0", "", "bad_header"), ("", "\x1c", "no_match")]
)
def test_the_white_space_of_http_is_taken_off_and_no_other(before: str, after: str, expected: str) -> None:
    headers = signed()
    headers["webhook-signature"] = before + headers["webhook-signature"] + after
    assert code_of(verify(headers=headers)) == expected


def test_a_rewritten_body_is_named_during_a_rotation_too() -> None:
    other = bytes(32)
    old, new = (hmac.new(key, BODY.encode(), hashlib.sha256).hexdigest() for key in (other, b"the secret"))
    headers = {"X-Gravv-Signature": old, "X-Gravv-Signature-Alternate": new}
    result = verify(BODY + "\n", headers=headers, secret="the secret", format="gravv")
    assert isinstance(result, Refused) and result.hint == "body_reserialised"


def test_many_forged_signatures_cost_little_more_than_one() -> None:
    headers = {**signed(), "webhook-signature": " ".join(["v1,AAA="] * 1000)}
    body = "x" * 1_000_000
    started = time.perf_counter()
    assert not verify(body, headers).ok
    # One HMAC of a megabyte is a millisecond or two; one for each signature would be seconds.
    assert time.perf_counter() - started < 0.5


# Anything: what a request could hold, and what a mistaken caller could pass.
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=5,
)
surrogates = st.text(alphabet=st.characters(codec=None, categories=("Cs", "Lu", "Cc", "Zs")))
header_names = st.sampled_from(
    [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "X-Grantex-Signature",
        "X-Grantex-Timestamp",
        "X-Grantex-Signature-V2",
        "X-Grantiva-Signature",
        "X-Gravv-Signature",
        "X-Webhook-Signature",
        "X-Webhook-Signature-Alternate",
        "x-gravv-signature",
    ]
)
almost_right = st.sampled_from(["v1,", "v1,a", "v1a,AAAA", "sha256=", "sha256=00", "0" * 64, str(NOW)])
header_values = anything | surrogates | almost_right
header_pairs = st.tuples(header_names, header_values)
garbled_headers = st.dictionaries(header_names, header_values) | st.lists(header_pairs) | anything
no_point = "whpk_" + base64.b64encode(b"\xff" * 32).decode()
garbled_secrets = anything | surrogates | st.sampled_from([SECRET, "whsec_", "whpk_", "whsk_", no_point])


@given(payload=anything | surrogates, signature=anything | surrogates, secret=anything | surrogates)
def test_the_body_signature_never_raises_and_garbage_is_false(payload: Any, signature: Any, secret: Any) -> None:
    assert verify_webhook_signature(payload, signature, secret) is False


@given(
    payload=anything | surrogates,
    headers=garbled_headers,
    secret=garbled_secrets,
    secrets=st.lists(garbled_secrets, max_size=2) | anything,
    format=st.sampled_from(sorted(PRESETS)),
    tolerance_seconds=st.floats() | st.integers(),
    now=st.none() | st.floats(),
)
def test_verification_never_raises_and_garbage_is_refused(**garbage: Any) -> None:
    result = verify_webhook(**garbage)
    assert isinstance(result, Refused)
    assert result.message != ""


@given(body=st.binary(), flip=st.integers(min_value=0), secret=st.text(min_size=1))
def test_what_was_signed_verifies_and_one_changed_byte_does_not(body: bytes, flip: int, secret: str) -> None:
    key = secret.encode(errors="ignore")
    signature = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    if key != secret.encode(errors="surrogatepass") or key == b"":
        return
    assert verify_webhook_signature(body, signature, secret) is True
    changed = bytearray(body + b"\0")
    changed[flip % len(changed)] ^= 1
    assert verify_webhook_signature(bytes(changed), signature, secret) is False


def test_the_body_signature_takes_text_and_bytes_and_no_empty_secret() -> None:
    signature = "sha256=" + hmac.new(b"s", BODY.encode(), hashlib.sha256).hexdigest()
    assert verify_webhook_signature(BODY, signature, "s") is True
    assert verify_webhook_signature(BODY.encode(), signature, "s") is True
    assert verify_webhook_signature(BODY, signature.upper(), "s") is False
    assert verify_webhook_signature(BODY, signature.removeprefix("sha256="), "s") is False
    empty = "sha256=" + hmac.new(b"", BODY.encode(), hashlib.sha256).hexdigest()
    assert verify_webhook_signature(BODY, empty, "") is False
