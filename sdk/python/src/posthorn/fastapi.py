"""
A dependency for FastAPI routes that get deliveries.

    @app.post("/hook")
    async def hook(event: Annotated[ReceivedEvent, Depends(webhook(secret=os.environ["WEBHOOK_SECRET"]))]) -> None: ...
"""

from collections.abc import Awaitable, Callable, Sequence

from fastapi import HTTPException, Request

from posthorn.formats import WireFormat
from posthorn.received import ReceivedEvent
from posthorn.verify import Verified, check_secrets, verify_webhook


def webhook(
    *,
    secret: str | None = None,
    secrets: Sequence[str] = (),
    format: str | WireFormat = "standard",
    tolerance_seconds: float = 300,
    max_bytes: int = 1_048_576,
) -> Callable[[Request], Awaitable[ReceivedEvent]]:
    """
    Verifies a request and gives the route its event. What is not genuine is answered 400 with
    ``{"detail": {"code", "message"}}``, a body of more than ``max_bytes`` 413. For the other parameters see
    :func:`posthorn.verify_webhook`.

    :raises ValueError: at once, for secrets that the format cannot use.
    """
    every_secret = [*([] if secret is None else [secret]), *secrets]
    check_secrets(format, every_secret)

    async def verified_event(request: Request) -> ReceivedEvent:
        result = verify_webhook(
            payload=await _read(request, max_bytes),
            headers=request.headers,
            secrets=every_secret,
            format=format,
            tolerance_seconds=tolerance_seconds,
        )
        if not isinstance(result, Verified):
            raise HTTPException(400, detail={"code": result.code, "message": result.message})
        if result.event is None:
            raise HTTPException(400, detail={"code": "bad_body", "message": "The body is not JSON."})
        return result.event

    return verified_event


async def _read(request: Request, max_bytes: int) -> bytes:
    """The raw body, kept for who reads it again; of one that is too large the rest is not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            message = f"The body is larger than {max_bytes} bytes."
            raise HTTPException(413, detail={"code": "too_large", "message": message})
    # Where `request.body()` keeps what it read.
    request._body = bytes(body)
    return request._body
