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
        url = httpx.URL(self.base_url)
        if url.scheme not in ("http", "https") or url.host == "":
            raise ValueError(f'base_url must be a URL like "https://posthorn.example.com", not {self.base_url!r}')
        # Named without their values: an exception's text ends up in logs.
        for name, value in (("api_key", self.api_key), ("tenant", self.tenant)):
            if value is not None and not _HEADER_TEXT.fullmatch(value):
                raise ValueError(f"{name} must be visible ASCII characters, without a line break or space at an end")
        if not self.timeout_seconds > 0:
            raise ValueError("timeout_seconds must be more than 0")
        if self.max_retries < 0:
            raise ValueError("max_retries must be 0 or more")

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
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError):
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
    except ValueError as error:
        raise UnexpectedAnswerError(
            "The answer is not JSON. Check that the base URL leads to Posthorn.",
            code="UNEXPECTED_ANSWER",
            status=answer.status,
            request_id=answer.headers.get("x-request-id"),
        ) from error


def _json_or_none(answer: Answer) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
