"""Plays a customer in Python who introspects and revokes: Authlib's session on requests.

Reads one JSON document from standard input (a command line would show secrets to everybody on the machine) and writes
one to standard output: for each token what introspection said before and after it was revoked.
"""

import json
import sys

from authlib.integrations.requests_client import OAuth2Session


def play(document, case):
    session = OAuth2Session(
        case["client_id"],
        case["client_secret"],
        token_endpoint_auth_method=case["method"],
        revocation_endpoint_auth_method=case["method"],
    )
    session.verify = document["ca_file"]

    def introspect():
        answer = session.introspect_token(document["introspection_endpoint"], token=case["token"], token_type_hint="access_token")
        return {"status": answer.status_code, "body": answer.json()}

    before = introspect()
    revoked = session.revoke_token(document["revocation_endpoint"], token=case["token"], token_type_hint="access_token")
    return {"before": before, "revoked": {"status": revoked.status_code, "body": revoked.text}, "after": introspect()}


def main():
    document = json.load(sys.stdin)
    json.dump({case["name"]: play(document, case) for case in document["cases"]}, sys.stdout)


if __name__ == "__main__":
    main()
