"""What both clients do alike: the request that a call becomes, when it is repeated, and what an answer means."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from posthorn.call import Call
from posthorn.errors import (
    ConnectionFailedError,
    PosthornError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    error_of,
)
from posthorn.version import __version__

T = TypeVar("T")

RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
# The server says it did nothing, so anything may be sent again.
REFUSING_STATUSES = frozenset({429, 503})

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0
# A server that asks for more patience than this gets its error raised instead: the caller decides.
LONGEST_RETRY_AFTER_SECONDS = 60.0

# Sockets take no longer ones.
LONGEST_TIMEOUT_SECONDS = 1_000_000

# The longest answers of the API, an event of a megabyte and its deliveries, are far below.
LONGEST_ANSWER_BYTES = 64 * 1024 * 1024

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_TEXT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True)
class RateLimit:
    """How many requests the key has left, as the newest answer said."""

    limit: int
    """Requests a minute."""
    remaining: int
    reset_seconds: int
    """Until the count begins anew."""


@dataclass(frozen=True)
class Options:
    """How a client speaks to its server; see :class:`posthorn.Posthorn` for the meaning of each."""

    base_url: str
    api_key: str | None = field(repr=False)
    tenant: str | None
    timeout_seconds: float
    max_retries: int
    headers: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        # All are named without their values: an exception's text ends up in logs.
        if not _is_base_url(self.base_url):
            raise ValueError('base_url must be a URL like "https://posthorn.example.com", without a query or a password')
        named = [("api_key", self.api_key), ("tenant", self.tenant)]
        for name, value in [*named, *((f"the header {name!r}", value) for name, value in self.headers.items())]:
            if value is not None and not (isinstance(value, str) and _HEADER_TEXT.fullmatch(value)):
                raise ValueError(f"{name} must be visible ASCII characters, without a line break or space at an end")
        for name in self.headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a header")
        # Written so that NaN, which is what a setting that is not there may become, is refused too.
        if not (isinstance(self.timeout_seconds, (int, float)) and 0 < self.timeout_seconds <= LONGEST_TIMEOUT_SECONDS):
            raise ValueError(f"timeout_seconds must be more than 0, and at most {LONGEST_TIMEOUT_SECONDS:,}")
        if not (isinstance(self.max_retries, int) and self.max_retries >= 0):
            raise ValueError("max_retries must be a whole number, 0 or more")

    def request_headers(self, call: Call[T]) -> dict[str, str]:
        """The headers of a call. The caller's own come last, but never replace the key."""
        headers = {"accept": "application/json", "user-agent": f"posthorn-python/{__version__}", **self.headers}
        if self.tenant is not None:
            headers["posthorn-tenant"] = self.tenant
        if call.idempotency_key is not None:
            headers["idempotency-key"] = call.idempotency_key
        if self.api_key is not None and not call.is_public:
            headers["authorization"] = f"Bearer {self.api_key}"
        return {**headers, **call.headers}


def _is_base_url(text: object) -> bool:
    try:
        url = httpx.URL(text) if isinstance(text, str) else None
    except httpx.InvalidURL:
        return False
    if url is None or url.scheme not in ("http", "https") or url.host == "" or (url.port or 0) > 65_535:
        return False
    return not (url.query or url.fragment or url.userinfo)


@dataclass(frozen=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: httpx.Headers
    content: bytes


@dataclass(frozen=True)
class Failure:
    """An attempt that led to nothing, and what its next one waits for."""

    error: PosthornError
    is_retried: bool
    """True where another attempt may help and can do no harm."""
    was_perhaps_done: bool
    """True where the server may have done it all the same."""


def read_answer(call: Call[T], answer: Answer, *, was_perhaps_done: bool) -> T | Failure:
    """
    What an answer means. ``was_perhaps_done``: an earlier attempt of this call may have been carried out.

    :raises UnexpectedAnswerError: a 2xx that is not what Posthorn gives.
    """
    if 200 <= answer.status < 300:
        return call.answer(_read_json(answer))
    if answer.status == 404 and call.method == "DELETE" and was_perhaps_done:
        # It is gone because the attempt before this one took it away.
        return call.answer(None)
    retry_after = retry_after_seconds(answer.headers)
    error = error_of(answer.status, _json_or_none(answer), answer.headers.get("x-request-id"), retry_after)
    is_refused = answer.status in REFUSING_STATUSES
    is_patient = retry_after is None or retry_after <= LONGEST_RETRY_AFTER_SECONDS
    return Failure(
        error,
        is_retried=answer.status in RETRIED_STATUSES and is_patient and (is_refused or call.may_repeat),
        was_perhaps_done=not is_refused and answer.status in RETRIED_STATUSES,
    )


def read_exception(call: Call[T], error: httpx.HTTPError) -> Failure:
    """What an exception of httpx means for a call."""
    never_sent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    broken = isinstance(error, (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError))
    detail = str(error) or type(error).__name__
    raised: PosthornError
    if isinstance(error, httpx.TimeoutException):
        raised = RequestTimeoutError(f"No complete answer arrived in time ({detail}).", code="TIMEOUT")
    else:
        raised = ConnectionFailedError(f"No answer arrived: {detail}", code="CONNECTION_FAILED")
    return Failure(
        raised,
        is_retried=broken and (never_sent or call.may_repeat),
        was_perhaps_done=not never_sent,
    )


def wait_seconds(retries_before: int, error: PosthornError) -> float:
    """How long to wait before the next attempt: as the server asked, else longer each time and never the same."""
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds
    longest = min(FIRST_WAIT_SECONDS * 2.0**retries_before, LONGEST_WAIT_SECONDS)
    return longest * random.uniform(0.5, 1.0)


def retry_after_seconds(headers: httpx.Headers) -> float | None:
    """``Retry-After`` as seconds from now, which may be given as seconds or as a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value), 1e10)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())


def rate_limit_of(headers: httpx.Headers) -> RateLimit | None:
    """The rate limit that an answer's headers tell, ``None`` where they tell none."""
    values = [headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining", "reset")]
    if not all(re.fullmatch(r"[0-9]{1,15}", value) for value in values):
        return None
    limit, remaining, reset = (int(value) for value in values)
    return RateLimit(limit=limit, remaining=remaining, reset_seconds=reset)


def _read_json(answer: Answer) -> Any:
    if answer.content == b"":
        return None
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        # Without the cause, which holds the whole answer, and there may be a secret in it.
        raise unexpected_answer(answer.status, answer.headers, "is not JSON") from None


def unexpected_answer(status: int, headers: httpx.Headers, problem: str) -> UnexpectedAnswerError:
    """The error for an answer that Posthorn does not give: the answer \"is not JSON\"."""
    return UnexpectedAnswerError(
        f"The answer {problem}. Check that the base URL leads to Posthorn.",
        code="UNEXPECTED_ANSWER",
        status=status,
        request_id=headers.get("x-request-id"),
    )


def _json_or_none(answer: Answer) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
