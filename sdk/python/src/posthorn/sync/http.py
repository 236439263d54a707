# Generated from posthorn/aio by generate_sync.py; do not edit.
"""Sends calls: attempts, waits between them, one limit of time for each."""

from __future__ import annotations

import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import httpx

from posthorn.call import Call
from posthorn.exchange import (
    LONGEST_ANSWER_BYTES,
    Answer,
    Failure,
    Options,
    RateLimit,
    rate_limit_of,
    read_answer,
    read_exception,
    unexpected_answer,
    wait_seconds,
)

T = TypeVar("T")


class Http:
    """One connection pool to one server."""

    def __init__(self, options: Options, client: httpx.Client | None) -> None:
        self._options = options
        self._owns_client = client is None
        # No cookies: a session that is made with this client must not become the client's own.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._client = client if client is not None else httpx.Client(cookies=no_cookies)
        self.last_rate_limit: RateLimit | None = None

    def send(self, call: Call[T]) -> T:
        """
        Sends a call, again where that may help and can do no harm.

        :raises PosthornError: it was not done, or nobody knows whether it was.
        """
        content = call.content()
        was_perhaps_done = False
        attempt = 0
        while True:
            cause: httpx.HTTPError | None = None
            try:
                answer = self._exchange(call, content)
            except httpx.HTTPError as error:
                cause = error
                outcome: T | Failure = read_exception(call, error)
            else:
                self.last_rate_limit = rate_limit_of(answer.headers) or self.last_rate_limit
                outcome = read_answer(call, answer, was_perhaps_done=was_perhaps_done)
            if not isinstance(outcome, Failure):
                return outcome
            if attempt >= self._options.max_retries or not outcome.is_retried:
                raise outcome.error from cause
            was_perhaps_done = was_perhaps_done or outcome.was_perhaps_done
            time.sleep(wait_seconds(attempt, outcome.error))
            attempt += 1

    def _exchange(self, call: Call[T], content: bytes | None) -> Answer:
        """One attempt. httpx limits each wait for bytes; the whole body is limited here, as bytes can come in drips."""
        options = self._options
        ends_at = time.monotonic() + options.timeout_seconds
        headers = options.request_headers(call)
        if content is not None:
            headers["content-type"] = "application/json"
        request = self._client.stream(
            call.method,
            options.base_url.rstrip("/") + call.path,
            params=call.query,
            headers=headers,
            content=content,
            timeout=options.timeout_seconds,
            follow_redirects=False,
        )
        with request as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LONGEST_ANSWER_BYTES:
                    raise unexpected_answer(response.status_code, response.headers, "does not end")
                if time.monotonic() > ends_at:
                    raise httpx.ReadTimeout(f"{options.timeout_seconds} s are over", request=response.request)
            return Answer(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Closes the connections, unless the caller brought the client."""
        if self._owns_client:
            self._client.close()
