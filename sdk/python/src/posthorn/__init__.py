"""
Client for Posthorn, which sends webhooks, and verification of what it sends.

    from posthorn import Posthorn, verify_webhook
"""

from posthorn.aio.client import AsyncPosthorn
from posthorn.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    FieldError,
    NotFoundError,
    PermissionDeniedError,
    PlanError,
    PosthornError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedAnswerError,
    UnprocessableEventError,
)
from posthorn.exchange import RateLimit
from posthorn.formats import PRESETS, Envelope, Signature, WireFormat
from posthorn.models import *  # noqa: F403
from posthorn.models import __all__ as _models
from posthorn.received import ReceivedEvent
from posthorn.signature import verify_webhook_signature
from posthorn.sync.client import Posthorn
from posthorn.unset import UNSET
from posthorn.verify import Refused, Verification, Verified, verify_webhook
from posthorn.version import __version__

__all__ = [
    "PRESETS",
    "UNSET",
    "ApiError",
    "AsyncPosthorn",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConnectionFailedError",
    "Envelope",
    "FieldError",
    "NotFoundError",
    "PermissionDeniedError",
    "PlanError",
    "Posthorn",
    "PosthornError",
    "RateLimit",
    "RateLimitedError",
    "ReceivedEvent",
    "Refused",
    "RequestTimeoutError",
    "ServerError",
    "Signature",
    "UnexpectedAnswerError",
    "UnprocessableEventError",
    "Verification",
    "Verified",
    "WireFormat",
    "__version__",
    "verify_webhook",
    "verify_webhook_signature",
]
__all__ += _models
