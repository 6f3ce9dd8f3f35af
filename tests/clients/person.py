"""The person at the browser, without a browser: signs in and consents through the real pages.

Run as a browser (`BROWSER="python person.py"`), it is handed an authorization URL, fills in every form it meets as a
person would, and follows the redirects until it has delivered the answer to the client's loopback address. Where the
gateway offers identity providers, PERSON_CHOICE is the one whose button is pressed, or the e-mail address that is
typed in; PERSON_AUTHORITY is the file with the authority of the providers' certificates. Sent to a page for connecting an
account, it connects the one of the same name, or types PERSON_KEY; offered that while it signs in, it does so only with
PERSON_CONNECTS.

Cookies are kept by hand because the gateway's are `Secure` with the `__Host-` prefix, which browsers accept from
loopback over plain HTTP and Python's cookie jar does not.
"""

import http.client
import os
import ssl
import sys
import threading
import time
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

MOST_STEPS = 24


class Form:
    """One HTML form: where it goes and what it would send."""

    def __init__(self, attributes):
        self.action = attributes.get("action", "")
        self.method = attributes.get("method", "get").lower()
        self.fields = []
        self.buttons = []
        self.inputs = []


class Forms(HTMLParser):
    """Collects the forms and links of a page, with the values a browser would submit unasked."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.links = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = {name: value or "" for name, value in attributes}
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        if tag == "form":
            self.forms.append(Form(attributes))
            return
        if not self.forms or "name" not in attributes:
            return
        form, name, value = self.forms[-1], attributes["name"], attributes.get("value", "")
        kind = attributes.get("type", "submit" if tag == "button" else "text").lower()
        if tag == "button" or (tag == "input" and kind == "submit"):
            form.buttons.append((name, value))
        elif tag == "input":
            form.inputs.append(name)
            ticked = kind not in ("checkbox", "radio") or "checked" in attributes
            if ticked:
                form.fields.append((name, value or ("on" if kind == "checkbox" else "")))


class Person:
    """Somebody with a name, a password and a browser of their own."""

    def __init__(self, name, password, decision="approve", choice="", authority=None, key="", connecting=False):
        self.name = name
        self.key = key
        self.connecting = connecting
        self.password = password
        self.decision = decision
        self.choice = choice
        self.trust = ssl.create_default_context(cafile=authority) if authority else None
        self.cookies = []
        self.visited = []

    def open(self, url):
        """Follows an authorization URL to its end; gives the last URL and the page shown there."""
        home = origin(url)
        response = self.request("GET", url)
        for _ in range(MOST_STEPS):
            if response.location:
                target = urljoin(response.url, response.location)
                # The providers speak https; whatever else is not the gateway is the client that waits for its answer.
                if origin(target) != home and urlsplit(target).scheme != "https":
                    return self.deliver(target)
                response = self.request("GET", target, referrer=response.referrer)
                continue
            response = self.answer(response)
        raise PageError(f"still no answer after {MOST_STEPS} steps: {self.visited}")

    def connect(self, url):
        """Connects an account from a page of the gateway to the end; gives the last page."""
        self.connecting = True
        home = origin(url)
        response = self.request("GET", url)
        for _ in range(MOST_STEPS):
            if response.location:
                target = urljoin(response.url, response.location)
                response = self.request("GET", target, referrer=response.referrer)
            elif origin(response.url) == home and "done=connected" in response.url:
                return response
            else:
                response = self.answer(response)
        raise PageError(f"not connected after {MOST_STEPS} steps: {self.visited}")

    def answer(self, response):
        """Does on a page what a person would: chooses who to sign in with, signs in, decides."""
        page = Forms(response.page)
        button = next((link for link in page.links if self.choice and link.startswith(f"/login/{self.choice}?")), None)
        if button:
            return self.request("GET", urljoin(response.url, button), referrer=response.url)
        # Accounts at servers are offered on the way; this person leaves that for later, or was sent here for it.
        later = next((link for link in page.links if not self.connecting and link.startswith("/oauth/authorize/finish")), None)
        if later:
            return self.request("GET", urljoin(response.url, later), referrer=response.url)
        form = next((form for form in page.forms if self.can_fill(form)), None)
        if form is None:
            raise PageError(f"no form to go on with at {response.url} (HTTP {response.status}):\n{response.page[:2000]}")
        return self.submit(response, form)

    def can_fill(self, form):
        """Signing in, looking, or deciding; a sign-out button in the header is none of these."""
        if form.action == "/oauth/authorize/look":
            return True
        if form.action.startswith("/connections/"):
            return form.action.endswith(("/connect", "/confirm")) or "key" in form.inputs
        decides = any(name in ("decision", "allow", "action", "agree") for name, _ in form.buttons)
        return "password" in form.inputs or decides or ("email" in form.inputs and "@" in self.choice)

    def submit(self, response, form):
        values = dict(form.fields)
        if "key" in form.inputs:
            values["key"] = self.key
        elif "password" in form.inputs:
            values |= {"login" if "login" in form.inputs else "name": self.name, "password": self.password}
        elif "email" in form.inputs:
            values["email"] = self.choice
        else:
            values |= {name: value for name, value in form.buttons if value in (self.decision, "Authorize", "connect", "yes")}
        action = urljoin(response.url, form.action)
        if form.method != "post":
            raise PageError(f"the form at {response.url} would send secrets in a URL")
        return self.request("POST", action, referrer=response.url, body=urlencode(values))

    def request(self, method, url, referrer=None, body=None):
        """One request with the headers by which a browser tells a navigation from a script."""
        distance = "same-origin" if origin(referrer or url) == origin(url) else "cross-site"
        headers = {
            "Accept": "text/html,application/xhtml+xml",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": distance if referrer else "none",
            "Sec-Fetch-User": "?1",
            "Upgrade-Insecure-Requests": "1",
            "User-Agent": "Mozilla/5.0 (a person)",
        }
        cookies = [cookie for cookie in self.cookies if cookie.fits(url)]
        if cookies:
            headers["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
        if referrer:
            headers["Referer"] = referrer
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Origin"] = origin(referrer or url)
        self.visited.append(f"{method} {url.split('?')[0]}")
        response = fetch(method, url, headers, body, self.trust)
        response.referrer = referrer
        for line in response.cookies:
            self.keep(Cookie(line, url))
        if response.status >= 400 and not Forms(response.page).forms:
            raise PageError(f"{method} {url} answered {response.status}:\n{response.page[:2000]}")
        return response

    def keep(self, cookie):
        self.cookies = [known for known in self.cookies if known.key != cookie.key]
        if not cookie.ended:
            self.cookies.append(cookie)

    def deliver(self, url):
        """Takes the answer to the client, which listens on loopback and may not be ready yet."""
        self.visited.append(f"GET {url.split('?')[0]}")
        deadline = time.monotonic() + 10
        while True:
            try:
                response = fetch("GET", url, {"Accept": "text/html", "User-Agent": "Mozilla/5.0 (a person)"})
                return url, response.page
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


class Cookie:
    """One cookie, with as much of its attributes as matters among hosts of this machine."""

    def __init__(self, line, url):
        pair, *attributes = [part.strip() for part in line.split(";")]
        attributes = {name.lower(): value for name, _, value in (part.partition("=") for part in attributes)}
        self.name, _, self.value = pair.partition("=")
        self.host, self.path = urlsplit(url).hostname, attributes.get("path", "/")
        self.key = (self.host, self.path, self.name)
        self.ended = attributes.get("max-age") == "0" or not self.value
        if self.name.startswith("__Host-") and not ("secure" in attributes and self.path == "/"):
            raise PageError(f"a browser would refuse this cookie: {line}")

    def fits(self, url):
        parts = urlsplit(url)
        below = parts.path == self.path or parts.path.startswith(self.path.rstrip("/") + "/")
        return parts.hostname == self.host and below


class PageError(Exception):
    """A page did not offer what a person needs to go on."""


class Response:
    """What a browser would show, or where it would go."""

    def __init__(self, url, response):
        self.url = url
        self.status = response.status
        self.location = response.getheader("location")
        self.cookies = response.headers.get_all("set-cookie") or []
        self.page = response.read().decode("utf-8", "replace")


def fetch(method, url, headers, body=None, trust=None):
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise PageError(f"sent to a stranger: {url}")
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=trust)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target or "/", body=body, headers=headers)
        return Response(url, connection.getresponse())
    finally:
        connection.close()


def origin(url):
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def open_in_background(person, url):
    """Opens a URL as a browser window would: beside what the caller goes on doing."""
    thread = threading.Thread(target=person.open, args=(url,), daemon=True)
    thread.start()
    return thread


def main():
    person = Person(
        os.environ["PERSON_NAME"],
        os.environ["PERSON_PASSWORD"],
        choice=os.environ.get("PERSON_CHOICE", ""),
        authority=os.environ.get("PERSON_AUTHORITY"),
        key=os.environ.get("PERSON_KEY", ""),
        connecting="PERSON_CONNECTS" in os.environ,
    )
    log = os.environ.get("PERSON_LOG", os.devnull)
    with open(log, "a", encoding="utf-8") as transcript:
        try:
            url = sys.argv[-1]
            if urlsplit(url).path.startswith("/connections/"):
                person.connect(url)
            else:
                person.open(url)
        except Exception as error:  # the client cannot show it, so the transcript must
            transcript.write(f"{error}\n")
            raise
        finally:
            transcript.writelines(f"{step}\n" for step in person.visited)


if __name__ == "__main__":
    main()
