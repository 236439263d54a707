"""The helpers inside the real frameworks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import django
import httpx
import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncRequestFactory, RequestFactory
from fastapi import Depends, FastAPI, Request
from flask import Flask, request

from posthorn import ReceivedEvent
from posthorn.django import webhook as django_webhook
from posthorn.fastapi import webhook as fastapi_webhook
from posthorn.flask import webhook as flask_webhook

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()
# Spaces and an escape, which parsing and writing again would not keep.
BODY = b'{"type": "order.paid",  "timestamp":"2026-01-15T09:30:00.250Z","data":{"name":"Zo\\u00eb"}}'
WRAPPERS = (flask_webhook, fastapi_webhook, django_webhook)

settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], SECRET_KEY="for tests", DEFAULT_CHARSET="utf-8")
django.setup()


def signed(body: bytes = BODY) -> dict[str, str]:
    now = int(time.time())
    mac = hmac.new(b"k" * 32, f"evt_1.{now}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


@pytest.mark.parametrize("webhook", WRAPPERS)
@pytest.mark.parametrize("secret", ["", "short", None])
def test_a_secret_that_cannot_be_right_fails_when_the_program_starts(webhook: Any, secret: str | None) -> None:
    with pytest.raises(ValueError):
        webhook(secret=secret)


def flask_app() -> Flask:
    app = Flask(__name__)

    @app.post("/hook/<name>")
    @flask_webhook(secrets=[OLD_SECRET, SECRET])
    def hook(event: ReceivedEvent, name: str) -> dict[str, Any]:
        return {"type": event.type, "data": event.data, "name": name}

    return app


def test_flask_gives_the_view_its_event_and_its_other_arguments() -> None:
    answer = flask_app().test_client().post("/hook/a", data=BODY, headers=signed())
    assert answer.status_code == 200
    assert answer.json == {"type": "order.paid", "data": {"name": "Zoë"}, "name": "a"}


def test_flask_answers_400_with_the_cause() -> None:
    client = flask_app().test_client()
    answer = client.post("/hook/a", data=BODY + b" ", headers=signed())
    assert answer.status_code == 400
    assert answer.json is not None and answer.json["code"] == "no_match"
    assert client.post("/hook/a", data=BODY).json["code"] == "missing_header"  # type: ignore[index]
    assert client.post("/hook/a", data=b"no", headers=signed(b"no")).json["code"] == "bad_body"  # type: ignore[index]


def test_flask_takes_async_views() -> None:
    app = Flask(__name__)

    @app.post("/hook")
    @flask_webhook(secret=SECRET)
    async def hook(event: ReceivedEvent) -> dict[str, Any]:
        return {"type": event.type}

    assert app.test_client().post("/hook", data=BODY, headers=signed()).json == {"type": "order.paid"}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_flask_reads_no_more_of_a_body_than_is_allowed(is_chunked: bool) -> None:
    app = Flask(__name__)

    @app.post("/hook")
    @flask_webhook(secret=SECRET, max_bytes=len(BODY))
    def hook(event: ReceivedEvent) -> dict[str, Any]:
        return {"type": event.type}

    for body, status in ((BODY, 200), (BODY + b" ", 413), (BODY + b" " * 5_000_000, 413)):
        stream = io.BytesIO(body)
        chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": None}
        extra = chunked if is_chunked else {"wsgi.input": stream, "CONTENT_LENGTH": str(len(body))}
        answer = app.test_client().post("/hook", headers=signed(body), environ_overrides=extra)
        assert answer.status_code == status
        assert stream.tell() <= len(BODY) + 1


@pytest.mark.parametrize("is_chunked", [False, True])
def test_flask_verifies_what_something_before_it_read(is_chunked: bool) -> None:
    app = flask_app()
    app.before_request(lambda: request.get_json(silent=True) and None)
    length = None if is_chunked else str(len(BODY))
    extra = {"wsgi.input": io.BytesIO(BODY), "wsgi.input_terminated": True, "CONTENT_LENGTH": length}
    assert app.test_client().post("/hook/a", headers=signed(), environ_overrides=extra).status_code == 200


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.post("/hook/{name}")
    async def hook(
        name: str, event: Annotated[ReceivedEvent, Depends(fastapi_webhook(secrets=[OLD_SECRET, SECRET]))]
    ) -> dict[str, Any]:
        return {"type": event.type, "data": event.data, "name": name}

    return app


@pytest.mark.anyio
async def test_fastapi_gives_the_route_its_event_or_answers_400_with_the_cause() -> None:
    transport = httpx.ASGITransport(app=fastapi_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/hook/a", content=BODY, headers=signed())
        assert answer.status_code == 200
        assert answer.json() == {"type": "order.paid", "data": {"name": "Zoë"}, "name": "a"}
        for body, headers, code in (
            (BODY + b" ", signed(), "no_match"),
            (BODY, {}, "missing_header"),
            (b"no", signed(b"no"), "bad_body"),
        ):
            answer = await client.post("/hook/a", content=body, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["detail"]["code"] == code


@pytest.mark.anyio
async def test_fastapi_reads_no_more_of_a_body_than_is_allowed_and_leaves_it_to_be_read_again() -> None:
    app = FastAPI()
    sent = 0

    @app.post("/hook")
    async def hook(
        request: Request, event: Annotated[ReceivedEvent, Depends(fastapi_webhook(secret=SECRET, max_bytes=1000))]
    ) -> dict[str, Any]:
        return {"again": (await request.json())["type"], "type": event.type}

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 500
            yield b" " * 500

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        good = await client.post("/hook", content=BODY, headers=signed())
        assert good.json() == {"again": "order.paid", "type": "order.paid"}
        answer = await client.post("/hook", content=endless(), headers=signed())
    assert (answer.status_code, answer.json()["detail"]["code"]) == (413, "too_large")
    assert sent < 5000


def test_fastapi_keeps_the_event_out_of_its_own_schema() -> None:
    schema = fastapi_app().openapi()
    assert [parameter["name"] for parameter in schema["paths"]["/hook/{name}"]["post"]["parameters"]] == ["name"]


@django_webhook(secrets=[OLD_SECRET, SECRET])
def django_view(request: HttpRequest, event: ReceivedEvent, name: str) -> HttpResponse:
    return JsonResponse({"type": event.type, "data": event.data, "name": name})


@django_webhook(secret=SECRET)
async def async_django_view(request: HttpRequest, event: ReceivedEvent) -> HttpResponse:
    return JsonResponse({"type": event.type})


def django_request(body: bytes, headers: dict[str, str]) -> HttpRequest:
    # Without the CSRF token that Django asks of forms.
    others = {name: value for name, value in headers.items() if name != "content-type"}
    return RequestFactory().post("/hook", data=body, content_type="application/json", headers=others)


def test_django_gives_the_view_its_event_and_its_other_arguments() -> None:
    answer = django_view(django_request(BODY, signed()), name="a")
    assert answer.status_code == 200
    assert json.loads(answer.content) == {"type": "order.paid", "data": {"name": "Zoë"}, "name": "a"}


def test_django_answers_400_with_the_cause_and_405_to_what_is_no_delivery() -> None:
    for body, headers, code in (
        (BODY + b" ", signed(), "no_match"),
        (BODY, {}, "missing_header"),
        (b"no", signed(b"no"), "bad_body"),
    ):
        answer = django_view(django_request(body, headers), name="a")
        assert answer.status_code == 400
        assert json.loads(answer.content)["code"] == code
    answer = django_view(RequestFactory().get("/hook"), name="a")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_django_asks_no_csrf_token_of_a_delivery() -> None:
    from django.middleware.csrf import CsrfViewMiddleware

    def outside(request: HttpRequest) -> HttpResponse:
        return django_view(request, name="a")

    middleware = CsrfViewMiddleware(outside)
    delivery = django_request(BODY, signed())
    # RequestFactory switches the check off by itself.
    delivery._dont_enforce_csrf_checks = False
    assert middleware.process_view(delivery, django_view, (), {}) is None
    assert middleware.process_view(delivery, lambda request: None, (), {}).status_code == 403


@pytest.mark.anyio
async def test_django_takes_async_views() -> None:
    others = {name: value for name, value in signed().items() if name != "content-type"}
    factory = AsyncRequestFactory()
    good = factory.post("/hook", data=BODY, content_type="application/json", headers=others)
    assert json.loads((await async_django_view(good)).content) == {"type": "order.paid"}
    bad = factory.post("/hook", data=BODY, content_type="application/json")
    assert (await async_django_view(bad)).status_code == 400
