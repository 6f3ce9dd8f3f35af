"""Identity providers for the stories in which the company signs people in: two certified ones in one process, and one of
another make. They are over https on loopback under the authority of these runs (see documents.py)."""

import json
import subprocess
import urllib.request
from pathlib import Path

from gateway import NAME, PASSWORD, clean_environment

PROGRAM = Path(__file__).resolve().parents[1] / "identity" / "provider.mjs"


class Providers:
    """`company` and `partner`, for all stories; each gateway is a client of both under a name of its own."""

    # How each is called in the settings, and what somebody does to come to it: press its button, or give an address.
    CHOICES = {"company": "company", "partner": "alice@partner.example"}
    KINDS = {"company": "oidc", "partner": "keycloak"}

    def __init__(self, node, directory, authority):
        options = {"directory": str(authority), "providers": {name: {"kind": kind} for name, kind in self.KINDS.items()}}
        self.log = open(directory / "providers.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [node, PROGRAM, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=clean_environment(),
        )
        ready = json.loads(self.process.stdout.readline())
        self.control, self.known = f"http://{ready['control']}", ready["providers"]
        for name, email in (("company", "alice@example.com"), ("partner", "alice@partner.example")):
            self.tell(name, "account", login="alice", email=email, groups=["platform"], password=PASSWORD)

    def settings(self, gateway, name, directory):
        """Introduces a gateway to both and gives its settings; `name` is what they call it."""
        entries, secret = [], directory / "client-secret"
        secret.write_text(f"{name}-secret")
        for provider, kind in self.KINDS.items():
            self.tell(provider, "client", client_id=name, redirect_uris=[f"{gateway}/login/{provider}/callback"])
            entry = {
                "id": provider,
                "name": f"Example {provider}",
                "kind": kind,
                "issuer": self.known[provider]["issuer"],
                "client_id": name,
                "client_secret": f"file:{secret}",
            }
            entries.append(entry)
        entries[1]["domains"] = ["partner.example"]
        return {"identity": {"providers": entries}}

    @property
    def hosts(self):
        return [known["host"] for known in self.known.values()]

    def tell(self, provider, verb, **what):
        body = json.dumps(what).encode()
        request = urllib.request.Request(f"{self.control}/{provider}/{verb}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.log.close()


class AnotherProvider:
    """django-oauth-toolkit, which knows one gateway."""

    def __init__(self, python, directory, documents, gateway):
        program = Path(__file__).resolve().parent / "django_provider.py"
        self.log = open(directory / "django.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [python, program, directory, documents.certificate, documents.key, f"{gateway}/login/another/callback"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**clean_environment(), "PERSON_NAME": NAME, "PERSON_PASSWORD": PASSWORD},
        )
        self.issuer = self.process.stdout.readline().strip()

    def settings(self, directory):
        secret = directory / "client-secret"
        secret.write_text("django-secret")
        entry = {
            "id": "another",
            "kind": "oidc",
            "issuer": self.issuer,
            "client_id": "portcullis",
            "client_secret": f"file:{secret}",
            # It knows no offline_access and gives a refresh token to everybody.
            "scopes": ["openid", "profile", "email", "groups"],
        }
        return {"identity": {"providers": [entry]}}

    @property
    def hosts(self):
        return [self.issuer.split("/")[2]]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.log.close()
