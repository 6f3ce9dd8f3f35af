"""A FastMCP server with its OAuth proxy, whose provider is one of ours. One argument: a JSON object with `origin` (how the
world calls it), `port`, `authority`, `client_id`, `client_secret`, and perhaps `trusts` (issuers of identity assertions)."""

import json
import sys
import threading

from fastmcp import FastMCP
from fastmcp.server.auth import OAuthProxy
from fastmcp.server.auth.auth import AccessToken, TokenVerifier
from fastmcp.server.dependencies import get_access_token
from key_value.aio.stores.memory import MemoryStore
import httpx2

options = json.loads(sys.argv[1])


class Introspection(TokenVerifier):
    """Asks the provider who a token of its is for."""

    async def verify_token(self, token):
        async with httpx2.AsyncClient() as client:
            answer = await client.post(
                f"{options['authority']}/token/introspection",
                data={"token": token},
                auth=(options["client_id"], options["client_secret"]),
            )
        found = answer.json()
        if not found.get("active"):
            return None
        scopes = found.get("scope", "").split()
        return AccessToken(token=token, client_id=found["client_id"], scopes=scopes, expires_at=found["exp"], claims=found)


def proxy():
    more = {}
    if "trusts" in options:
        from fastmcp.server.auth import IdentityAssertion

        more["identity_assertion"] = IdentityAssertion(trusted_issuers=options["trusts"])
    return OAuthProxy(
        upstream_authorization_endpoint=f"{options['authority']}/auth",
        upstream_token_endpoint=f"{options['authority']}/token",
        upstream_revocation_endpoint=f"{options['authority']}/token/revocation",
        upstream_client_id=options["client_id"],
        upstream_client_secret=options["client_secret"],
        token_verifier=Introspection(),
        base_url=options["origin"],
        valid_scopes=["openid", "offline_access"],
        client_storage=MemoryStore(),
        jwt_signing_key="a key of these tests, long enough for anybody",
        forward_resource=False,
        **more,
    )


server = FastMCP("fastmcp", auth=proxy())


@server.tool
def whoami() -> str:
    """Says whose token called."""
    token = get_access_token()
    subject = token.claims.get("sub", "nobody")
    return f"{subject} at fastmcp"


def end_with_parent():
    sys.stdin.read()
    import os

    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    server.run(transport="http", host="127.0.0.1", port=options["port"], show_banner=False)
