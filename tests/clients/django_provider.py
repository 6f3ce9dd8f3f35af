"""Another OpenID provider than the one of most stories: django-oauth-toolkit on Django, over TLS on loopback.

usage: django_provider.py DIRECTORY CERTIFICATE KEY REDIRECT_URI

One account (PERSON_NAME, PERSON_PASSWORD), one client (`portcullis`), sign-in and consent on the toolkit's own pages.
Prints its issuer when it is ready; DIRECTORY keeps its database.
"""

import os
import ssl
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

CLIENT_SECRET = "django-secret"


def configure(directory, issuer):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / "django.sqlite3"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
            "oauth2_provider",
        ],
        LOGIN_URL="/login/",
        MIDDLEWARE=[
            # Says how long each answer is.
            "django.middleware.common.CommonMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_ISS_ENDPOINT": issuer,
            "OIDC_RSA_PRIVATE_KEY": pem.decode(),
            "OAUTH2_VALIDATOR_CLASS": "django_pages.Validator",
            "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
            "PKCE_REQUIRED": True,
            "SCOPES": {"openid": "Who you are", "profile": "Your name", "email": "Your address", "groups": "Your groups"},
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="django_pages",
        SECRET_KEY="of a test",
        SECURE_PROXY_SSL_HEADER=None,
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        USE_TZ=True,
    )  # fmt: skip
    django.setup()


def populate(redirect_uri):
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    name = os.environ["PERSON_NAME"]
    User.objects.create_user(name, f"{name}@example.net", os.environ["PERSON_PASSWORD"], first_name="Alice")
    Application.objects.create(
        name="Portcullis",
        client_id="portcullis",
        client_secret=CLIENT_SECRET,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=redirect_uri,
        algorithm=Application.RS256_ALGORITHM,
    )


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def get_environ(self):
        return {**super().get_environ(), "wsgi.url_scheme": "https", "HTTPS": "on"}

    def log_message(self, *arguments):
        print(*arguments, file=sys.stderr)


def main():
    directory, certificate, key, redirect_uri = Path(sys.argv[1]), *sys.argv[2:]
    server = make_server("localhost", 0, None, server_class=Server, handler_class=Handler)
    server.base_environ["wsgi.url_scheme"] = "https"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    issuer = f"https://localhost:{server.server_port}/o"
    configure(directory, issuer)
    populate(redirect_uri)
    from django.core.handlers.wsgi import WSGIHandler

    server.set_app(WSGIHandler())
    print(issuer, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
