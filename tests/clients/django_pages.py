"""What django_provider.py serves: the toolkit's own endpoints and pages, a sign-in form, and the claims of its people."""

from django.contrib.auth import authenticate, login
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import include, path
from oauth2_provider.oauth2_validators import OAuth2Validator


class Validator(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        user = request.user
        return {
            "preferred_username": user.username,
            "email": user.email,
            "email_verified": True,
            "groups": ["staff"],
        }


def sign_in(request):
    """Django's own check and session behind the plainest form."""
    if request.method == "POST":
        user = authenticate(request, username=request.POST["login"], password=request.POST["password"])
        if user:
            login(request, user)
            return HttpResponseRedirect(request.GET.get("next", "/"))
    return HttpResponse(
        f'<main><form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">'
        '<input name="login"><input type="password" name="password"><button>Sign in</button></form></main>'
    )


urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")), path("login/", sign_in)]
