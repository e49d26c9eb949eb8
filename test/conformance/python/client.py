"""Plays a customer and a service in Python: Authlib asks for tokens, Authlib and PyJWT verify them.

Reads one JSON document from standard input (a command line would show secrets to everybody on the machine) and writes
one to standard output: for each case its token or its error, and what each verifier says of each token.
"""

import json
import ssl
import sys
import urllib.request

import jwt
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet


def ask(document, case):
    """One client_credentials exchange by Authlib's session on requests."""
    session = OAuth2Session(
        case["client_id"],
        case["client_secret"],
        token_endpoint_auth_method=case["method"],
        scope=case.get("scope"),
    )
    try:
        token = session.fetch_token(
            document["token_endpoint"],
            grant_type="client_credentials",
            audience=case["audience"],
            verify=document["ca_file"],
        )
        return {"token": token["access_token"], "scope": token.get("scope"), "expires_in": token["expires_in"]}
    except (OAuthError, OAuth2Error) as error:
        return {"error": type(error).__name__, "code": error.error, "description": error.description}


def discover(document, issuer):
    """The issuer's metadata and keys, as it publishes them."""
    context = ssl.create_default_context(cafile=document["ca_file"])

    def get(url):
        with urllib.request.urlopen(url, context=context, timeout=10) as response:
            return json.load(response)

    metadata = get(issuer + ".well-known/openid-configuration")
    return metadata, get(metadata["jwks_uri"])


def verdict(work):
    try:
        return {"claims": work()}
    except Exception as error:  # the verifiers have no common class of errors
        return {"error": type(error).__name__}


def by_pyjwt(document, case):
    metadata, _ = discover(document, case["issuer"])
    keys = jwt.PyJWKClient(metadata["jwks_uri"], ssl_context=ssl.create_default_context(cafile=document["ca_file"]))
    return jwt.decode(
        case["token"],
        keys.get_signing_key_from_jwt(case["token"]).key,
        algorithms=["RS256"],
        audience=case["audience"],
        issuer=metadata["issuer"],
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )


def by_joserfc(document, case):
    """joserfc is what Authlib itself is built on now."""
    metadata, keys = discover(document, case["issuer"])
    token = joserfc_jwt.decode(case["token"], KeySet.import_key_set(keys), algorithms=["RS256"])
    joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": metadata["issuer"]},
        aud={"essential": True, "value": case["audience"]},
        exp={"essential": True},
    ).validate(token.claims)
    return token.claims


def by_rfc9068(document, case):
    """Authlib's validator of RFC 9068 access tokens, which takes no other dialect."""
    metadata, keys = discover(document, case["issuer"])

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return keys

    validator = Validator(issuer=metadata["issuer"], resource_server=case["audience"])
    claims = validator.authenticate_token(case["token"])
    validator.validate_token(claims, [case["scope"]], None)
    return dict(claims)


VERIFIERS = {"pyjwt": by_pyjwt, "joserfc": by_joserfc, "rfc9068": by_rfc9068}


def main():
    document = json.load(sys.stdin)
    asked = {case["name"]: ask(document, case) for case in document["cases"]}
    verified = {}
    for case in document["tokens"]:
        verified[case["name"]] = {name: verdict(lambda: verify(document, case)) for name, verify in VERIFIERS.items()}
    json.dump({"asked": asked, "verified": verified}, sys.stdout)


if __name__ == "__main__":
    main()
