"""An authorization by hand, for the harness: registers a client, lets the person sign in and consent, redeems the code."""

import base64
import hashlib
import json
import secrets
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit


def register(issuer, redirect_uri):
    """Registers a public client (RFC 7591); gives its identifier."""
    metadata = {
        "client_name": "Conformance harness",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    return post(endpoints(issuer)["registration_endpoint"], json.dumps(metadata), "application/json")["client_id"]


def access_token(issuer, resource, person, port):
    """Goes through the whole flow; gives an access token for the resource."""
    redirect_uri = f"http://127.0.0.1:{port}/callback"
    client = register(issuer, redirect_uri)
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect_uri,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "state": state,
        "scope": "mcp:read mcp:call",
        "resource": resource,
    }
    with callback(port) as answer:
        person.open(f"{endpoints(issuer)['authorization_endpoint']}?{urlencode(query)}")
    if answer.get("state") != state or answer.get("iss") != issuer or "code" not in answer:
        raise RuntimeError(f"unexpected authorization answer: {answer}")
    redemption = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "client_id": client,
        "code_verifier": verifier,
        "resource": resource,
    }
    return post(endpoints(issuer)["token_endpoint"], urlencode(redemption), "application/x-www-form-urlencoded")["access_token"]


class callback:
    """A loopback listener for one authorization answer, which is the dictionary it gives."""

    def __init__(self, port):
        answer = self.answer = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)
                answer.update({name: values[0] for name, values in query.items()})
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"done")

            def log_message(self, *arguments):
                pass

        self.server = HTTPServer(("127.0.0.1", port), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.answer

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def endpoints(issuer):
    with urllib.request.urlopen(f"{issuer}/.well-known/oauth-authorization-server", timeout=10) as answer:
        return json.load(answer)


def post(url, body, content_type):
    request = urllib.request.Request(url, data=body.encode(), headers={"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
