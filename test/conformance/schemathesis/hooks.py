"""A good Idempotency-Key is made fresh for each request: a repeated one gets an earlier answer by design, which
test/integration/admin-idempotency.test.ts tries, and which would look like a key that was issued and is not there. Malformed ones stay."""

import re
import uuid

import schemathesis

GOOD = re.compile(r"[\x21-\x7e]{20,255}")


@schemathesis.hook
def map_headers(context, headers):
    key = headers.get("Idempotency-Key") if headers else None
    if isinstance(key, str) and GOOD.fullmatch(key):
        headers["Idempotency-Key"] = str(uuid.uuid4())
    return headers


@schemathesis.hook
def map_body(context, body):
    """A rotation without an overlap ends the old key, which would look like a key that got lost; a burst goes beyond a limit a second. No
    schema says either."""
    limits = body.get("limits") if isinstance(body, dict) else None
    if isinstance(limits, dict) and not limits.get("per_second"):
        limits.pop("burst", None)
    operation = getattr(context, "operation", None)
    if operation is not None and operation.path.endswith("/rotate") and isinstance(body, dict) and type(body.get("overlap")) is int:
        body["overlap"] = body["overlap"] or 3600
    return body
