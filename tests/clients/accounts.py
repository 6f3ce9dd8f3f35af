"""Stories of people whose calls need an account at the server: the client is sent to the page at the first call, its person
connects the account there, and the call is answered, all in one run. Then somebody else does the same, and is somebody else.

The servers are real ones (upstreams.py), and so are their authorization servers and their pages.
"""

from dataclasses import dataclass

import drivers
from gateway import PASSWORD, Gateway, free_port

KEYS = {"alice": "key-of-alice", "bob": "key-of-bob"}


@dataclass(frozen=True)
class AccountStory:
    """One client at one server, first as Alice, then as Bob."""

    name: str
    drive: object
    server: str
    # The client can be asked to open a page (`url`), or its person reads the link in the answer (`none`), or the account
    # was connected in one sitting with the sign-in (`sitting`).
    elicit: str
    revision: str | None = None
    # What the server says to each, and by which tool.
    says: str = "{name} at {server}"
    tool: str = "whoami"
    credential: object = "auto"

    @property
    def label(self):
        return f"account-{self.name}-{self.server}-{self.elicit}"

    def tell(self, world):
        directory = world.options.results / self.label
        directory.mkdir(parents=True)
        credential = self.credential(world, directory) if callable(self.credential) else self.credential
        entry = {"name": self.server, "url": world.upstreams.url(self.server), "credential": credential}
        if entry["url"].startswith("https:"):
            entry["tls"] = {"ca_file": str(world.documents.ca_file)}
        settings = {
            "outbound": {"ca_file": str(world.documents.ca_file), "private_hosts": world.upstreams.hosts},
            "servers": [entry],
        }
        with Gateway(world.options.binary, directory / "gateway", settings) as gateway:
            gateway.add_person("bob")
            for name in ("alice", "bob"):
                said = self.drive(self.task(world, gateway, directory / name, name))
                self.check(said, name)
            self.check_trail(gateway)
            gateway.verify()

    def task(self, world, gateway, directory, name):
        directory.mkdir()
        arguments = {"message": "good morning"} if self.tool == "echo" else {}
        return drivers.Task(
            url=gateway.endpoint(self.server),
            tool=self.tool,
            arguments=arguments,
            pause=0,
            port=free_port(),
            directory=directory,
            environment={
                **drivers.browser(directory, world.options.node, "person"),
                "PERSON_NAME": name,
                "PERSON_PASSWORD": PASSWORD,
                "PERSON_AUTHORITY": world.documents.ca_file,
                "PERSON_KEY": KEYS[name],
                **({"PERSON_CONNECTS": "1"} if self.elicit == "sitting" else {}),
            },
            node=world.options.node,
            pythons={"1": world.options.python1, "2": world.options.python2},
            elicit=None if self.elicit == "sitting" else self.elicit,
        )

    def check(self, said, name):
        wanted = self.says.format(name=name, server=self.server)
        if len(said["answers"]) != 2 or not all(wanted in answer for answer in said["answers"]):
            raise AccountError(f"the server said {said['answers']} to {name} instead of {wanted!r}")
        if len(said["asked"]) != (0 if self.elicit == "sitting" else 1):
            raise AccountError(f"{name} was sent to a page {len(said['asked'])} times: {said['asked']}")
        if self.tool not in said["tools"]:
            raise AccountError(f"{self.tool} is not among the tools of {name}: {said['tools']}")
        if self.revision and said["revision"] != self.revision:
            raise AccountError(f"spoke {said['revision']} instead of {self.revision}")

    def check_trail(self, gateway):
        def made(events):
            return len({event.get("person") or str(event) for event in events if event["event"] == "connection.made"})

        if made(gateway.wait_for_events(lambda events: made(events) == 2)) != 2:
            raise AccountError("the trail does not tell of two connections")


class AccountError(Exception):
    """Somebody did not act as themselves, or was asked too often."""


def pinned(world, directory, **more):
    """A server whose authorization server is on another site, named by the administrator."""
    return {"kind": "oauth", "issuer": world.upstreams.authorities["acme"]["issuer"], **more}


def typed(world, directory):
    """Everybody types a key of their own."""
    return {"kind": "header", "header": "X-Api-Key", "prefix": "", "label": "API key", "pattern": "^key-of-[a-z]+$"}


PYTHON1, PYTHON2 = drivers.python_sdk("1"), drivers.python_sdk("2")
TYPESCRIPT1 = drivers.typescript_sdk("typescript_sdk1.mjs")
TYPESCRIPT2 = drivers.typescript_sdk("typescript_sdk2.mjs", "auto")

STORIES = [
    # 2026-07-28: the call itself says what is missing, and is asked again.
    AccountStory("python-2", PYTHON2, "notes", "url", "2026-07-28"),
    AccountStory("typescript-2", TYPESCRIPT2, "notes", "url", "2026-07-28"),
    # 2025-11-25: an error with the page, and a notification when it is done.
    AccountStory("typescript-1", TYPESCRIPT1, "old-notes", "url", "2025-11-25", credential=pinned),
    AccountStory("typescript-1", TYPESCRIPT1, "notes", "url", "2025-11-25"),
    # No elicitation: the answer has the link in it.
    AccountStory("python-1", PYTHON1, "old-notes", "none", "2025-11-25", credential=pinned),
    AccountStory("python-2", PYTHON2, "notes", "none", "2026-07-28"),
    # In one sitting with the sign-in, before the client has its token.
    AccountStory("typescript-2", TYPESCRIPT2, "notes", "sitting", "2026-07-28", credential=pinned),
    # Other makes of authorization server, and none at all.
    AccountStory("python-2", PYTHON2, "fast", "url", says="acme-{name} at fastmcp"),
    AccountStory("typescript-1", TYPESCRIPT1, "demo", "url", says=" at demo"),
    AccountStory("typescript-1", TYPESCRIPT1, "everything", "url", says="Echo: good morning", tool="echo", credential=typed),
]
