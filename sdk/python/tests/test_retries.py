"""When a call is sent again, and when it is given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from threading import Event
from uuid import UUID

import httpx
import pytest

from posthorn import (
    ApiError,
    ConnectionFailedError,
    NotFoundError,
    Posthorn,
    PosthornError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    exchange,
)
from tests.receiver import Received, Receiver
from tests.scripted import Reply, Serve, reply

PUBLISHED = {"id": "evt_1", "deliveries": 1}


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 0])
def test_an_event_is_sent_again_with_the_same_idempotency_key(serve: Serve, status: int) -> None:
    receiver, client = serve(reply(status), reply(status), reply(202, PUBLISHED))
    assert client.events.send(type="order.paid", data={"total": 1}).id == "evt_1"
    keys = {request.headers["idempotency-key"] for request in receiver.requests}
    assert len(receiver.requests) == 3
    assert len(keys) == 1 and UUID(keys.pop())
    assert len({request.body for request in receiver.requests}) == 1


def test_each_call_has_an_idempotency_key_of_its_own_unless_the_caller_gives_one(serve: Serve) -> None:
    receiver, client = serve(reply(202, PUBLISHED))
    client.events.send(type="a", data=1)
    client.events.send(type="a", data=1)
    client.events.send(type="a", data=1, idempotency_key="mine")
    first, second, third = (request.headers["idempotency-key"] for request in receiver.requests)
    assert first != second
    assert third == "mine"
    with pytest.raises(ValueError, match="visible ASCII"):
        client.events.send(type="a", data=1, idempotency_key="with space")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422, 500, 507])
def test_what_would_fail_again_is_not_sent_again(serve: Serve, status: int) -> None:
    receiver, client = serve(reply(status))
    with pytest.raises(ApiError) as caught:
        client.events.send(type="a", data=1)
    assert caught.value.status == status
    assert len(receiver.requests) == 1


def test_max_retries_is_how_often_it_is_sent_again(serve: Serve) -> None:
    for retries in (0, 1, 3):
        receiver, client = serve(reply(503), max_retries=retries)
        with pytest.raises(ServerError):
            client.webhooks.list()
        assert len(receiver.requests) == 1 + retries


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.webhooks.rotate_secret("wh_1"),
        lambda client: client.deliveries.redeliver("whd_1"),
        lambda client: client.api_keys.create(role="viewer"),
    ],
)
def test_what_a_repeat_would_do_twice_is_repeated_only_where_it_was_surely_not_done(
    serve: Serve, call: Callable[[Posthorn], object]
) -> None:
    for status, requests in ((502, 1), (504, 1), (408, 1), (0, 1), (429, 3), (503, 3)):
        receiver, client = serve(reply(status))
        with pytest.raises(PosthornError):
            call(client)
        assert len(receiver.requests) == requests, status


@pytest.mark.parametrize(
    "call", [lambda client: client.webhooks.enable("wh_1"), lambda client: client.webhooks.update("wh_1", url="u")]
)
def test_what_does_the_same_again_is_repeated(serve: Serve, call: Callable[[Posthorn], object]) -> None:
    receiver, client = serve(reply(504))
    with pytest.raises(ServerError):
        call(client)
    assert len(receiver.requests) == 3


def test_a_delete_whose_answer_was_lost_is_done(serve: Serve) -> None:
    _, client = serve(reply(504), reply(404, {"code": "NOT_FOUND"}))
    client.webhooks.delete("wh_1")
    # After an answer that says nothing was done, 404 is news.
    for first in (reply(429), reply(503)):
        _, client = serve(first, reply(404, {"code": "NOT_FOUND"}))
        with pytest.raises(NotFoundError):
            client.webhooks.delete("wh_1")


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("posthorn.sync.http.time.sleep", waits.append)
    at = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    _, client = serve(reply(429, retry_after="7"), reply(503, retry_after=at), reply(200, {"webhooks": []}))
    client.webhooks.list()
    assert waits[0] == 7
    assert 25 < waits[1] <= 30


def test_who_asks_for_more_than_a_minute_gets_no_second_try(serve: Serve) -> None:
    receiver, client = serve(reply(429, {"code": "TOO_MANY_REQUESTS", "message": "Wait."}, retry_after="61"))
    with pytest.raises(RateLimitedError) as caught:
        client.webhooks.list()
    assert caught.value.retry_after_seconds == 61
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("-5", None),
        ("1.5", None),
        ("1e9", None),
        ("soon", None),
        ("9" * 400, 1e10),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 00:00:00 +9999999999", None),
        ("Mon, 01 Jan " + "9" * 400 + " 00:00:00 GMT", None),
    ],
)
def test_an_absurd_retry_after_is_told_or_passed_over(value: str, expected: float | None) -> None:
    assert exchange.retry_after_seconds(httpx.Headers({"retry-after": value})) == expected


def test_waits_grow_and_are_never_the_same() -> None:
    error = ServerError("", code="OVERLOADED", status=503)
    for retries, least, most in ((0, 0.25, 0.5), (1, 0.5, 1.0), (2, 1.0, 2.0), (9, 4.0, 8.0)):
        waits = {exchange.wait_seconds(retries, error) for _ in range(50)}
        assert len(waits) > 1
        assert all(least <= wait <= most for wait in waits)


def test_no_server_and_no_answer_in_time_have_errors_of_their_own(serve: Serve) -> None:
    with Receiver() as gone:
        pass
    with Posthorn(api_key="key", base_url=gone.url, max_retries=1) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            client.webhooks.list()
    assert caught.value.code == "CONNECTION_FAILED"
    assert isinstance(caught.value.__cause__, httpx.ConnectError)

    hold = Event()

    def answer(request: Received) -> Reply:
        hold.wait(10)
        return reply(200, {"webhooks": []})

    with Receiver(answer) as slow, Posthorn(base_url=slow.url, timeout_seconds=0.05, max_retries=1) as client:
        with pytest.raises(RequestTimeoutError) as late:
            client.webhooks.list()
        hold.set()
        assert len(slow.requests) == 2
    assert late.value.code == "TIMEOUT"


def test_an_answer_that_comes_in_drips_ends_at_its_time() -> None:
    def drips() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.01)
            yield b" "

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=drips()))
    mine = httpx.Client(transport=transport)
    with Posthorn(api_key="key", http_client=mine, timeout_seconds=0.05, max_retries=0) as client:
        with pytest.raises(RequestTimeoutError):
            client.webhooks.list()
    # Who brings a client closes it.
    assert not mine.is_closed
    mine.close()
