"""Plays a customer that authenticates by its own key, with Authlib, and one that exchanges a Vault token, with requests.

Reads one JSON document from standard input (a command line would show secrets to everybody on the machine) and writes
one to standard output: for each case its token or its error.
"""

import json
import sys
import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, RSAKey


def ask(document, case):
    key = (RSAKey if case["alg"].startswith(("RS", "PS")) else ECKey).import_key(case["private_key"])
    session = OAuth2Session(case["client_id"], key, token_endpoint_auth_method="private_key_jwt")
    # Authlib's own life of an assertion is an hour; and it keeps the jti in the claims that it is given, so they are made anew for each.
    claims = {"exp": int(time.time()) + case["life"]} if "life" in case else None
    session.register_client_auth_method(PrivateKeyJWT(document["token_endpoint"], claims=claims, alg=case["alg"]))
    try:
        token = session.fetch_token(document["token_endpoint"], grant_type="client_credentials", audience=case["audience"], verify=document["ca_file"])
        return {"token": token["access_token"]}
    except (OAuthError, OAuth2Error) as error:
        return {"code": error.error, "description": error.description}


def exchange(document, case):
    answer = requests.post(
        document["token_endpoint"],
        data={
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": case["subject_token"],
            "subject_token_type": "urn:postern:params:oauth:token-type:vault-token",
            "audience": case["audience"],
        },
        verify=document["ca_file"],
        timeout=10,
    )
    body = answer.json()
    return {"token": body["access_token"]} if answer.ok else {"code": body["error"], "description": body["error_description"]}


document = json.load(sys.stdin)
json.dump([exchange(document, case) if "subject_token" in case else ask(document, case) for case in document["cases"]], sys.stdout)
