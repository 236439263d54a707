"""Wire formats as data: which headers a delivery has, and what its signatures cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["hmac-sha256", "hmac-sha384", "hmac-sha512", "ed25519"]
SecretEncoding = Literal["utf8", "base64", "hex", "whsec", "whsk"]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One signature of a format."""

    header: str
    algorithm: Algorithm = "hmac-sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    """What stands before it in the header: ``sha256=``, ``v1,``."""
    signed_headers: tuple[str, ...] = ()
    """Headers whose values are signed before the body, each with a full stop behind it."""
    is_list: bool = False
    """The header holds several, with spaces between; else one, and while secrets rotate another one holds the rest."""
    alternate_header: str | None = None
    """That other header; ``None``: the name in ``header`` and ``-Alternate``. It is a list with spaces between too."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Where the parts of an event are: members of the body, or headers."""

    id: str | None = None
    type: str | None = None
    occurred_at: str | None = None
    data: str | None = None
    """``None``: the body is the payload, and nothing around it."""
    id_header: str | None = None
    type_header: str | None = None


@dataclass(frozen=True, kw_only=True)
class WireFormat:
    """
    How deliveries are signed and what is in them. The presets of Posthorn are in :data:`PRESETS`; make one of your own
    for a webhook whose format was declared in JSON.
    """

    signatures: tuple[Signature, ...]
    """Every one of them must be there and match."""
    secret_encoding: SecretEncoding = "utf8"
    timestamp_header: str | None = None
    """A signed header that holds when the attempt was made, in unix seconds."""
    envelope: Envelope = Envelope()


def _body_signature(header: str, prefix: str = "sha256=") -> Signature:
    return Signature(header=header, prefix=prefix)


_STANDARD_ENVELOPE = Envelope(type="type", occurred_at="timestamp", data="data", id_header="webhook-id")

PRESETS: Mapping[str, WireFormat] = {
    # Standard Webhooks 1.0.0, https://www.standardwebhooks.com
    "standard": WireFormat(
        signatures=(
            Signature(
                header="webhook-signature",
                encoding="base64",
                prefix="v1,",
                signed_headers=("webhook-id", "webhook-timestamp"),
                is_list=True,
            ),
        ),
        secret_encoding="whsec",
        timestamp_header="webhook-timestamp",
        envelope=_STANDARD_ENVELOPE,
    ),
    "standard-ed25519": WireFormat(
        signatures=(
            Signature(
                header="webhook-signature",
                algorithm="ed25519",
                encoding="base64",
                prefix="v1a,",
                signed_headers=("webhook-id", "webhook-timestamp"),
                is_list=True,
            ),
        ),
        secret_encoding="whsk",
        timestamp_header="webhook-timestamp",
        envelope=_STANDARD_ENVELOPE,
    ),
    "grantex": WireFormat(
        signatures=(
            _body_signature("X-Grantex-Signature"),
            Signature(header="X-Grantex-Signature-V2", prefix="sha256=", signed_headers=("X-Grantex-Timestamp",)),
        ),
        timestamp_header="X-Grantex-Timestamp",
        envelope=Envelope(id="id", type="type", occurred_at="createdAt", data="data"),
    ),
    "grantiva": WireFormat(
        signatures=(_body_signature("X-Grantiva-Signature"),),
        envelope=Envelope(type="event", occurred_at="timestamp", data="data"),
    ),
    "gravv": WireFormat(
        signatures=(_body_signature("X-Gravv-Signature", prefix=""),),
        envelope=Envelope(id="event_id", type="event_type", occurred_at="timestamp", data="event_data"),
    ),
    "lexigram": WireFormat(
        signatures=(_body_signature("X-Webhook-Signature"),),
        envelope=Envelope(id_header="X-Webhook-Event-ID", type_header="X-Webhook-Event-Type"),
    ),
}
"""The formats that come with Posthorn, by name."""


def format_of(format: str | WireFormat) -> WireFormat:
    """
    The format of a name.

    :raises ValueError: there is no preset of this name.
    """
    if isinstance(format, WireFormat):
        return format
    preset = PRESETS.get(format) if isinstance(format, str) else None
    if preset is None:
        raise ValueError(f"there is no wire format {format!r}; the presets are {', '.join(PRESETS)}")
    return preset
