"""What calls raise. Every exception of this package is a :class:`PosthornError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field of a request."""

    field: str
    """Where: ``events[0]``, ``data.total``."""
    message: str
    """What to do about it."""


class PosthornError(Exception):
    """
    Something went wrong. ``code`` is stable; ``status`` and ``request_id`` are ``None`` where no answer came.

    ``docs/errors.md`` of Posthorn lists the codes that answers have. Without an answer it is ``CONNECTION_FAILED``,
    ``TIMEOUT`` or ``UNEXPECTED_ANSWER``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        request_id: str | None = None,
        fields: tuple[FieldError, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        where = "" if self.request_id is None else f" (request {self.request_id})"
        return f"{self.code}: {self.message}{where}"


class ConnectionFailedError(PosthornError):
    """No answer arrived: the server is not there, or the connection broke."""


class RequestTimeoutError(ConnectionFailedError):
    """No complete answer arrived in time."""


class UnexpectedAnswerError(PosthornError):
    """The answer is not one of Posthorn's; perhaps the base URL leads somewhere else."""


class ApiError(PosthornError):
    """Posthorn answered that it did not do it."""

    status: int


class BadRequestError(ApiError):
    """400, 413, 414, 415, 431: the request is not valid; ``fields`` names what to correct."""


class AuthenticationError(ApiError):
    """401: the API key is missing, mistyped, expired or revoked."""


class PlanError(ApiError):
    """402: the tenant's plan has no room for it, or lacks the feature."""


class PermissionDeniedError(ApiError):
    """403: the key may not do this."""


class NotFoundError(ApiError):
    """404: there is no such thing, or it is another tenant's."""


class ConflictError(ApiError):
    """409: it exists already, its state does not allow it, or an idempotency key was used with another body."""


class UnprocessableEventError(ApiError):
    """422: the event's type is not in the catalogue, or its data does not match the schema."""


class RateLimitedError(ApiError):
    """429: too many requests; ``retry_after_seconds`` says how long to wait."""


class ServerError(ApiError):
    """5xx: it went wrong on the other side."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PlanError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: BadRequestError,
    414: BadRequestError,
    415: BadRequestError,
    422: UnprocessableEventError,
    429: RateLimitedError,
    431: BadRequestError,
}


def error_of(status: int, body: Any, request_id: str | None, retry_after_seconds: float | None) -> ApiError:
    """The exception for an answer. ``body`` is its JSON, or anything else where it is not an error of Posthorn's."""
    problem = body if isinstance(body, Mapping) else {}
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    return kind(
        _text(problem, "message") or _text(problem, "detail") or f"The server answered {status}.",
        code=_text(problem, "code") or f"HTTP_{status}",
        status=status,
        request_id=_text(problem, "requestId") or request_id,
        fields=_fields(problem.get("errors")),
        retry_after_seconds=retry_after_seconds,
    )


def _text(problem: Mapping[str, Any], name: str) -> str | None:
    value = problem.get(name)
    return value if isinstance(value, str) and value != "" else None


def _fields(value: Any) -> tuple[FieldError, ...]:
    entries = value if isinstance(value, list) else []
    return tuple(
        FieldError(field=str(entry["field"]), message=str(entry["message"]))
        for entry in entries
        if isinstance(entry, Mapping) and "field" in entry and "message" in entry
    )
