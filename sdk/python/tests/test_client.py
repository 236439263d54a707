"""What the client sends, and what it makes of answers of every kind."""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from posthorn import (
    UNSET,
    ApiError,
    AsyncPosthorn,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    FieldError,
    NewEvent,
    NotFoundError,
    PermissionDeniedError,
    PlanError,
    Posthorn,
    PosthornError,
    RateLimit,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    UnprocessableEventError,
)
from tests.receiver import Receiver
from tests.scripted import Reply, Script, Serve, reply

PUBLISHED = {"id": "evt_1", "deliveries": 1}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, PlanError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, BadRequestError),
        (422, UnprocessableEventError),
        (429, RateLimitedError),
        (500, ServerError),
        (418, ApiError),
    ],
)
def test_errors_have_a_type_a_code_a_status_a_request_id_and_fields(
    serve: Serve, status: int, kind: type[ApiError]
) -> None:
    problem = {
        "type": "/errors#x",
        "code": "SOME_CODE",
        "message": "What is wrong.",
        "requestId": "req_1",
        "errors": [{"field": "events[0]", "message": "must be a type", "more": 1}, "odd"],
    }
    _, client = serve(reply(status, problem), max_retries=0)
    with pytest.raises(PosthornError) as caught:
        client.webhooks.list()
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.request_id, error.message) == (
        "SOME_CODE",
        status,
        "req_1",
        "What is wrong.",
    )
    assert error.fields == (FieldError(field="events[0]", message="must be a type"),)
    assert str(error) == "SOME_CODE: What is wrong. (request req_1)"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'{"code":1,"errors":{}}', b"\xff", b"[" * 100_000])
def test_errors_of_something_else_in_between_are_errors_too(serve: Serve, body: bytes) -> None:
    _, client = serve((500, {"x-request-id": "req_2"}, body))
    with pytest.raises(ServerError) as caught:
        client.webhooks.list()
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("HTTP_500", 500, "req_2")


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b'"text"', b"{}", b'{"webhooks":{}}', b'{"webhooks":[{"id":"wh_1"}]}']
)
def test_an_answer_that_is_not_posthorns_is_named_as_such(serve: Serve, body: bytes) -> None:
    _, client = serve(reply(200, body))
    with pytest.raises(UnexpectedAnswerError, match="base URL"):
        client.webhooks.list()


def test_an_answer_that_cannot_be_read_is_not_quoted_as_there_may_be_a_secret_in_it(serve: Serve) -> None:
    for body in (b'{"secret":"whsec_very-secret"}!', b"[" * 100_000):
        _, client = serve(reply(200, body, x_request_id="req_3"))
        with pytest.raises(UnexpectedAnswerError) as caught:
            client.webhooks.create(url="https://example.com", events=["*"])
        error = caught.value
        assert (error.status, error.request_id, error.__cause__) == (200, "req_3", None)
        assert error.__suppress_context__ and "very-secret" not in "".join(traceback.format_exception(error))


def test_an_answer_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthorn.sync.http.LONGEST_ANSWER_BYTES", 1000)
    asked = 0

    def endless() -> Iterator[bytes]:
        nonlocal asked
        while asked < 1000:
            asked += 1
            yield b" " * 100

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=endless()))
    with httpx.Client(transport=transport) as mine, Posthorn(api_key="key", http_client=mine) as client:
        with pytest.raises(UnexpectedAnswerError, match="does not end"):
            client.webhooks.list()
    assert asked < 20


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b"], ["a", "b", "c", "d", "e", "c", "d", "e"]])
def test_a_walk_ends_where_the_pages_go_round_in_circles(serve: Serve, cursors: list[str]) -> None:
    pages = [reply(200, {"webhooks": [], "nextCursor": cursor}) for cursor in cursors * 10]
    receiver, client = serve(*pages)
    with pytest.raises(UnexpectedAnswerError, match="circles"):
        list(client.webhooks.iterate())
    assert len(receiver.requests) < 20


def test_an_empty_cursor_is_the_end(serve: Serve) -> None:
    receiver, client = serve(reply(200, {"webhooks": [], "nextCursor": ""}))
    assert list(client.webhooks.iterate()) == []
    assert len(receiver.requests) == 1


def test_redirects_are_not_followed_as_the_key_would_go_along(serve: Serve) -> None:
    elsewhere, _ = serve(reply(200, {"webhooks": []}))
    _, client = serve(reply(307, location=f"{elsewhere.url}/v1/webhooks"))
    with pytest.raises(ApiError):
        client.webhooks.list()
    assert elsewhere.requests == []


WEBHOOK = {
    "id": "wh_1",
    "url": "https://example.com",
    "events": ["b", "a"],
    "description": None,
    "isActive": True,
    "disabledReason": None,
    "wireFormat": {"body": "{event.data}"},
    "headers": {"X-A": "1"},
    "retrySchedule": ["5s"],
    "timeout": None,
    "concurrency": None,
    "metadata": None,
    "publicKey": None,
    "previousSecretExpiresAt": None,
    "createdAt": "2026-01-15T09:30:00.250Z",
    "updatedAt": "2026-01-15T09:30:00.250Z",
}


def test_members_that_are_not_known_break_nothing_and_nullable_ones_may_be_missing(serve: Serve) -> None:
    newer = {**WEBHOOK, "aNewMember": {"x": 1}, "disabledReason": "a new reason"}
    older = {name: value for name, value in WEBHOOK.items() if name not in ("publicKey", "metadata")}
    _, client = serve(reply(200, {"webhooks": [newer, older], "nextCursor": None, "another": 1}))
    first, second = client.webhooks.list().webhooks
    assert first.events == ("b", "a")
    assert first.retry_schedule == ("5s",)
    assert first.wire_format == {"body": "{event.data}"}
    assert second.public_key is None


def test_secrets_are_not_in_what_is_printed(serve: Serve) -> None:
    _, client = serve(reply(201, {**WEBHOOK, "secret": "whsec_hidden"}), api_key="key_hidden")
    webhook = client.webhooks.create(url="https://example.com", events=["a"])
    assert webhook.secret == "whsec_hidden"
    assert "hidden" not in repr(webhook)
    assert "hidden" not in repr(client)
    assert pickle.loads(pickle.dumps(webhook)) == webhook


def test_lists_are_walked_to_their_last_page(serve: Serve) -> None:
    def page(ids: list[str], cursor: str | None) -> Reply:
        return reply(200, {"webhooks": [{**WEBHOOK, "id": id} for id in ids], "nextCursor": cursor})

    receiver, client = serve(page(["1", "2"], "c 1"), page([], "c2"), page(["3"], None))
    assert [webhook.id for webhook in client.webhooks.iterate(page_limit=2)] == ["1", "2", "3"]
    assert [request.path for request in receiver.requests] == [
        "/v1/webhooks?limit=2",
        "/v1/webhooks?limit=2&cursor=c+1",
        "/v1/webhooks?limit=2&cursor=c2",
    ]


def test_a_page_is_asked_for_only_when_it_is_needed(serve: Serve) -> None:
    receiver, client = serve(reply(200, {"webhooks": [WEBHOOK], "nextCursor": "more"}))
    walk = client.webhooks.iterate()
    assert receiver.requests == []
    next(walk)
    assert len(receiver.requests) == 1


def test_what_is_sent_is_what_was_given(serve: Serve) -> None:
    receiver, client = serve(reply(202, PUBLISHED), tenant="acme", headers={"X-Trace": "t", "Authorization": "other"})
    at = datetime(2026, 1, 15, 10, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))
    client.events.send(type="order.paid", data={"name": "Zoë", "none": None}, occurred_at=at, group="g")
    request = receiver.next()
    assert (request.method, request.path) == ("POST", "/v1/events")
    body = '{"type":"order.paid","data":{"name":"Zoë","none":null},"occurredAt":"2026-01-15T09:30:00.250Z","group":"g"}'
    assert request.body.decode() == body
    assert request.headers["posthorn-tenant"] == "acme"
    assert request.headers.get_all("authorization") == ["Bearer key"]
    assert request.headers["x-trace"] == "t"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("posthorn-python/")


def test_null_data_is_sent(serve: Serve) -> None:
    receiver, client = serve(reply(202, {"events": []}))
    client.events.send_batch([NewEvent(type="a", data=None, idempotency_key="k")])
    assert json.loads(receiver.next().body) == {"events": [{"type": "a", "data": None, "idempotencyKey": "k"}]}


def test_a_change_sends_what_is_given_and_none_as_null(serve: Serve) -> None:
    receiver, client = serve(reply(200, WEBHOOK))
    client.webhooks.update("wh_1", description=None, is_active=False, url=UNSET)
    request = receiver.next()
    assert (request.method, request.path) == ("PATCH", "/v1/webhooks/wh_1")
    assert json.loads(request.body) == {"description": None, "isActive": False}


def test_filters_are_spelled_as_the_server_reads_them(serve: Serve) -> None:
    receiver, client = serve(reply(200, {"deadLetters": [], "deliveries": [], "nextCursor": None}))
    client.dead_letters.list(acknowledged=False, from_="2026-01-15T09:30:00Z")
    assert receiver.next().path == "/v1/dead-letters?acknowledged=false&from=2026-01-15T09%3A30%3A00Z"
    client.deliveries.list(status=["pending", "held"], limit=5)
    assert receiver.next().path == "/v1/deliveries?status=pending&status=held&limit=5"


def test_an_id_cannot_lead_to_another_resource(serve: Serve) -> None:
    receiver, client = serve(reply(204))
    client.webhooks.delete("../events/1?x#y é")
    assert receiver.next().path == "/v1/webhooks/..%2Fevents%2F1%3Fx%23y%20%C3%A9"
    for id in ("", ".", ".."):
        with pytest.raises(ValueError):
            client.webhooks.delete(id)
    with pytest.raises(ValueError):
        client.webhooks.delete(None)  # type: ignore[arg-type]


def test_what_json_cannot_hold_is_refused_before_it_is_sent(serve: Serve) -> None:
    receiver, client = serve(reply(202, PUBLISHED))
    for data in (float("nan"), "\ud800"):
        with pytest.raises(ValueError):
            client.events.send(type="a", data=data)
    with pytest.raises(TypeError):
        client.events.send(type="a", data=object())
    with pytest.raises(TypeError, match="list of event types"):
        client.webhooks.create(url="https://example.com", events="*")
    with pytest.raises(ValueError, match="zone"):
        client.events.send(type="a", data=1, occurred_at=datetime(2026, 1, 15))
    assert receiver.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "posthorn.example.com"},
        {"base_url": "ftp://posthorn.example.com"},
        {"base_url": "http://"},
        {"api_key": ""},
        {"api_key": "secret-key\n"},
        {"api_key": "clé"},
        {"tenant": "a\r\nb: c"},
        {"base_url": None},
        {"base_url": "http://[::1"},
        {"base_url": "http://127.0.0.1:65536"},
        {"base_url": "https://user:secret-key@posthorn.example.com"},
        {"base_url": "https://posthorn.example.com?secret-key"},
        {"base_url": "https://posthorn.example.com#a"},
        {"api_key": 7},
        {"headers": {"x-a": "secret-key\n"}},
        {"headers": {"x-a": 7}},
        {"headers": {"x a": "b"}},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": float("inf")},
        {"timeout_seconds": None},
        {"max_retries": -1},
        {"max_retries": float("nan")},
        {"max_retries": 1.5},
    ],
)
def test_settings_that_cannot_work_fail_at_once_and_show_no_key(options: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        Posthorn(**{"api_key": "key", **options})
    assert "secret-key" not in str(caught.value)


def test_a_base_url_may_end_in_a_slash_and_have_a_path(serve: Serve) -> None:
    receiver, client = serve(reply(200, {"webhooks": []}))
    with Posthorn(api_key="key", base_url=f"{receiver.url}/under/") as under:
        under.webhooks.list()
    assert receiver.next().path == "/under/v1/webhooks"


def test_what_anybody_may_do_goes_without_the_key(serve: Serve) -> None:
    receiver, client = serve(reply(200, {"publicKeys": []}))
    assert client.webhooks.public_keys("wh_1").public_keys == ()
    assert receiver.next().headers["authorization"] is None


def test_the_newest_rate_limit_is_kept(serve: Serve) -> None:
    limits = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "59", "x_ratelimit_reset": "30"}
    _, client = serve(reply(200, {"webhooks": []}, **limits), reply(200, {"webhooks": []}))
    assert client.last_rate_limit is None
    client.webhooks.list()
    client.webhooks.list()
    assert client.last_rate_limit == RateLimit(limit=60, remaining=59, reset_seconds=30)


def test_a_session_made_with_the_client_does_not_become_its_own(serve: Serve) -> None:
    session = {"token": "t", "memberId": "mem_1", "role": "owner", "expiresAt": "2026-01-15T09:30:00Z"}
    cookie = "posthorn_session=t; Path=/; HttpOnly"
    receiver, client = serve(reply(201, session, set_cookie=cookie), reply(204))
    client.sessions.create(member_id="mem_1")
    client.sessions.end("other")
    receiver.next()
    request = receiver.next()
    assert request.headers["cookie"] == "posthorn_session=other; __Host-posthorn_session=other"
    assert request.headers["authorization"] is None
    client.webhooks.delete("wh_1")
    assert receiver.next().headers["cookie"] is None


@pytest.mark.anyio
async def test_the_async_client_does_the_same() -> None:
    pages = (
        reply(502),
        reply(200, {"webhooks": [WEBHOOK], "nextCursor": "c"}),
        reply(200, {"webhooks": [{**WEBHOOK, "id": "wh_2"}], "nextCursor": None}),
        reply(404, {"code": "NOT_FOUND", "message": "No."}),
    )
    with Receiver(Script(*pages)) as receiver:
        async with AsyncPosthorn(api_key="key", base_url=receiver.url) as client:
            assert [webhook.id async for webhook in client.webhooks.iterate()] == ["wh_1", "wh_2"]
            with pytest.raises(NotFoundError):
                await client.events.get("evt_1")
    assert len(receiver.requests) == 4
    async with AsyncPosthorn(api_key="key", base_url=receiver.url, max_retries=0) as client:
        with pytest.raises(ConnectionFailedError):
            await client.usage()
