"""
A decorator for Flask views that get deliveries.

    @app.post("/hook")
    @webhook(secret=os.environ["WEBHOOK_SECRET"])
    def hook(event: ReceivedEvent) -> tuple[str, int]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from flask import current_app, jsonify, request
from flask.typing import ResponseReturnValue

from posthorn.formats import WireFormat
from posthorn.received import ReceivedEvent
from posthorn.verify import Verified, check_secrets, verify_webhook

P = ParamSpec("P")
View = Callable[Concatenate[ReceivedEvent, P], Any]


def webhook(
    *,
    secret: str | None = None,
    secrets: Sequence[str] = (),
    format: str | WireFormat = "standard",
    tolerance_seconds: float = 300,
    max_bytes: int = 1_048_576,
) -> Callable[[View[P]], Callable[P, ResponseReturnValue]]:
    """
    Verifies a request before the view sees it, and gives the view the event as its first argument. What is not genuine
    is answered 400 with ``{"code", "message"}``, a body of more than ``max_bytes`` 413. For the other parameters see
    :func:`posthorn.verify_webhook`.

    :raises ValueError: at once, for secrets that the format cannot use.
    """
    every_secret = [*([] if secret is None else [secret]), *secrets]
    check_secrets(format, every_secret)

    def decorate(view: View[P]) -> Callable[P, ResponseReturnValue]:
        @wraps(view)
        def verified_view(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            payload = _read(max_bytes)
            if payload is None:
                return jsonify(code="too_large", message=f"The body is larger than {max_bytes} bytes."), 413
            result = verify_webhook(
                payload=payload,
                headers=request.headers,
                secrets=every_secret,
                format=format,
                tolerance_seconds=tolerance_seconds,
            )
            if not isinstance(result, Verified):
                return jsonify(code=result.code, message=result.message), 400
            if result.event is None:
                return jsonify(code="bad_body", message="The body is not JSON."), 400
            answer: ResponseReturnValue = current_app.ensure_sync(view)(result.event, *args, **kwargs)
            return answer

        return verified_view

    return decorate


def _read(max_bytes: int) -> bytes | None:
    """The raw body; ``None`` where it is too large, and then the rest is not read."""
    if request.content_length is None:
        # It comes in chunks, or something before this read it, and Flask keeps it.
        payload = request.stream.read(max_bytes + 1) or request.get_data()
        return None if len(payload) > max_bytes else payload
    return None if request.content_length > max_bytes else request.get_data()
