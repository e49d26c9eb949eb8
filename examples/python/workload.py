"""A background process in Python: Authlib gets the token, renews it when it ends, and sends it along.

    pip install authlib requests
    POSTERN_ISSUER=https://tokens.example.com POSTERN_CLIENT_ID=... POSTERN_CLIENT_SECRET=... \
        POSTERN_AUDIENCE=https://orders.example.com python workload.py https://orders.example.com/orders
"""

import os
import sys

from authlib.integrations.requests_client import OAuth2Session


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("the address to call is missing")
    session = OAuth2Session(
        client_id=os.environ["POSTERN_CLIENT_ID"],
        client_secret=os.environ["POSTERN_CLIENT_SECRET"],
        token_endpoint=os.environ["POSTERN_ISSUER"].rstrip("/") + "/oauth/token",
        grant_type="client_credentials",
        leeway=60,  # seconds before its end from which a token is renewed
        default_timeout=10,  # seconds; none is said: for ever
    )
    # Auth0's parameter; Authlib sends it with the first token and with each renewal.
    session.metadata["audience"] = os.environ["POSTERN_AUDIENCE"]
    session.fetch_token(audience=os.environ["POSTERN_AUDIENCE"])

    answer = session.get(sys.argv[1])
    answer.raise_for_status()
    print(answer.text)


if __name__ == "__main__":
    main()
