"""Client metadata documents, published over https on loopback under an authority made for this run.

A client identifier that is a URL must be https, so the gateway is told to trust this authority (`outbound.ca_file`)
and to fetch from this host although it is loopback (`clients.metadata_documents.private_hosts`).
"""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Loopback redirect URIs without a port: the client's real port is only known when it listens (RFC 8252, section 7.3).
REDIRECT_URIS = ["http://127.0.0.1/callback", "http://127.0.0.1/oauth/callback", "http://localhost/oauth/callback"]


class Documents:
    """The publisher: every path below /clients/ is the document of a client of that name."""

    def __init__(self, directory):
        self.ca_file = directory / "authority.pem"
        self.certificate, self.key = make_certificate(directory, self.ca_file)
        self.fetched = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.fetched.append(self.path)
                body = json.dumps(publisher.document(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Cache-Control", "max-age=60")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, client):
        return f"https://{self.host}/clients/{client}.json"

    def document(self, path):
        return {
            "client_id": f"https://{self.host}{path}",
            "client_name": f"Documented client {path.removeprefix('/clients/').removesuffix('.json')}",
            "client_uri": f"https://{self.host}/",
            "redirect_uris": REDIRECT_URIS,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }

    def stop(self):
        self.server.shutdown()


def make_certificate(directory, ca_file):
    """An authority and one certificate of it for localhost."""
    ca_key, key = directory / "authority.key", directory / "loopback.key"
    request, certificate = directory / "loopback.csr", directory / "loopback.pem"
    names = directory / "loopback.ext"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca_file, "-days", "2", "-subj", "/CN=Test authority")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca_file, "-CAkey", ca_key, "-CAcreateserial",
        "-out", certificate, "-days", "2", "-extfile", names,
    )  # fmt: skip
    return certificate, key


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
