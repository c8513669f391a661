"""A signed message to an address of yours, as the Standard Webhooks specification words it.

    ops: {kind: webhook, url: "https://ops.example/perennial", secret_file: /run/secrets/webhook}

    POST  webhook-id: promotion-17-ops        the same when it is sent again: whoever got it already may drop it
          webhook-timestamp: 1795226400       seconds since the epoch
          webhook-signature: v1,<base64 of HMAC-SHA256(secret, "id.timestamp.body")>
    {"type": "champion.changed", "timestamp": "...", "data": {"model": "tiny-r0002-a1", "previous": ..., "sha256": ...}}

The secret file holds `whsec_` and base64, or any text of at least 24 characters. Any answer of 200 to 299 is a yes; 408, 429,
5xx and silence are tried again, three times, with growing pauses.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.models.targets.target import Receipt, Shipment, TargetError

PAUSES_SECONDS = (1.0, 4.0, 10.0)
_SECONDS = 20.0
_AGAIN = (408, 425, 429)
_LEAST = 24


@dataclass(frozen=True)
class WebhookTarget:
    """An address that is told of every new champion."""

    name: str
    url: str
    secret_file: Path
    kind: str = "webhook"
    pause: Callable[[float], None] = time.sleep

    def where(self) -> str:
        """The address, without what may be a secret in it."""
        address = httpx.URL(self.url)
        return f"{address.scheme}://{address.host}{address.path}"

    def deploy(self, shipment: Shipment) -> Receipt:
        """Send the message until it is taken."""
        secret, body = self._secret(), json.dumps(message(shipment), separators=(",", ":")).encode()
        said = ""
        for wait in (*PAUSES_SECONDS, None):
            said, again = self._send(shipment, secret, body)
            if not said:
                return Receipt(self.where())
            if wait is None or not again:
                break
            self.pause(wait)
        raise TargetError(f"{self.where()} {said}")

    def check(self, mark: str) -> None:
        """Nothing can be looked at: it was told."""

    def _send(self, shipment: Shipment, secret: bytes, body: bytes) -> tuple[str, bool]:
        """What went wrong, empty if nothing did, and whether another try may help."""
        headers = sign(secret, f"promotion-{shipment.promotion_id}-{self.name}", int(time.time()), body)
        try:
            answer = httpx.post(
                self.url,
                content=body,
                headers={**headers, "content-type": "application/json"},
                timeout=_SECONDS,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            return f"does not answer ({type(error).__name__})", True
        if answer.is_success:
            return "", False
        return f"answered {answer.status_code}", answer.status_code in _AGAIN or answer.status_code >= 500

    def _secret(self) -> bytes:
        try:
            text = self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TargetError(f"the secret of the webhook cannot be read from {self.secret_file.name}") from error
        if len(text) < _LEAST:
            raise TargetError(f"the secret in {self.secret_file.name} is too short; it needs {_LEAST} characters")
        if text.startswith("whsec_"):
            try:
                return base64.b64decode(text.removeprefix("whsec_"), validate=True)
            except binascii.Error as error:
                raise TargetError(f"the secret in {self.secret_file.name} is not base64 behind whsec_") from error
        return text.encode()


def sign(secret: bytes, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The three headers by which a receiver knows who sent the body, and when."""
    signed = hmac.new(secret, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def message(shipment: Shipment) -> dict[str, Any]:
    """What the address is told: ids, digests and numbers, no path and no text of anybody."""
    return {
        "type": "champion.changed",
        "timestamp": shipment.at.isoformat(),
        "data": {
            "model": shipment.model_id,
            "previous": shipment.previous_id,
            "kind": shipment.kind,
            "by": shipment.by,
            "promotion": shipment.promotion_id,
            "sha256": shipment.sha256,
            "adapter_sha256": shipment.adapter_sha256,
            "scale": shipment.scale,
            "quantization": shipment.quantization,
            "size_bytes": shipment.size_bytes,
        },
    }
