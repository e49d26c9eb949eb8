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
