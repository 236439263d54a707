"""
A decorator for Django views that get deliveries.

    @webhook(secret=settings.WEBHOOK_SECRET)
    def hook(request: HttpRequest, event: ReceivedEvent) -> HttpResponse: ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from posthorn.formats import WireFormat
from posthorn.received import ReceivedEvent
from posthorn.verify import Verified, check_secrets, verify_webhook


def webhook(
    *,
    secret: str | None = None,
    secrets: Sequence[str] = (),
    format: str | WireFormat = "standard",
    tolerance_seconds: float = 300,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    Verifies a request before the view sees it, and gives the view the event as its second argument. What is not genuine
    is answered 400 with ``{"code", "message"}``, what is not a POST 405. Takes views with ``def`` and ``async def``,
    and exempts them from CSRF tokens, which no sender of webhooks has. How large a body may be says Django's setting
    ``DATA_UPLOAD_MAX_MEMORY_SIZE``. For the parameters see :func:`posthorn.verify_webhook`.

    :raises ValueError: at once, for secrets that the format cannot use.
    """
    every_secret = [*([] if secret is None else [secret]), *secrets]
    check_secrets(format, every_secret)

    def event_of(request: HttpRequest) -> ReceivedEvent | JsonResponse:
        if request.method != "POST":
            message = "Deliveries are sent with POST."
            return JsonResponse({"code": "bad_method", "message": message}, status=405, headers={"Allow": "POST"})
        result = verify_webhook(
            payload=request.body,
            headers=request.headers,
            secrets=every_secret,
            format=format,
            tolerance_seconds=tolerance_seconds,
        )
        if not isinstance(result, Verified):
            return JsonResponse({"code": result.code, "message": result.message}, status=400)
        if result.event is None:
            return JsonResponse({"code": "bad_body", "message": "The body is not JSON."}, status=400)
        return result.event

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(view):

            @wraps(view)
            async def verified_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                event = event_of(request)
                return await view(request, event, *args, **kwargs) if isinstance(event, ReceivedEvent) else event

        else:

            @wraps(view)
            def verified_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                event = event_of(request)
                return view(request, event, *args, **kwargs) if isinstance(event, ReceivedEvent) else event

        exempt: Callable[..., Any] = csrf_exempt(verified_view)
        return exempt

    return decorate
