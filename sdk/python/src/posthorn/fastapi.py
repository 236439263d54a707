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
) -> Callable[[Request], Awaitable[ReceivedEvent]]:
    """
    Verifies a request and gives the route its event. What is not genuine is answered 400 with
    ``{"detail": {"code", "message"}}``. For the parameters see :func:`posthorn.verify_webhook`.

    :raises ValueError: at once, for secrets that the format cannot use.
    """
    every_secret = [*([] if secret is None else [secret]), *secrets]
    check_secrets(format, every_secret)

    async def verified_event(request: Request) -> ReceivedEvent:
        result = verify_webhook(
            payload=await request.body(),
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
