"""Stories of calls that wait for a person: the client calls a tool that pays money back, somebody decides meanwhile, and that same
call of the client answers with the result, or with the reason why not. The client is told nothing of approvals and does
nothing for them; the default policy is in force.

Those who decide do so on the page in a real browser, with a passkey of it, or by a signed answer of a program that is told of
calls by webhook.
"""

import contextlib
import json
import subprocess
from dataclasses import dataclass

import drivers
from gateway import NAME, PASSWORD, Gateway, clean_environment, free_port
from pager import Pager

REFUND = {"customer": "c-1", "amount": 120, "currency": "EUR"}
DONE = "Refunded 120.00 EUR to Lena Brandt."
WHY = "Lena was paid back yesterday"


@dataclass(frozen=True)
class ApprovalStory:
    """One client, and one way of deciding: `page`, `passkey`, `webhook`; or `refused`, on the page."""

    name: str
    drive: object
    revision: str
    way: str
    # The client can be asked to open a page, and then its person decides there.
    elicit: str | None = None
    # The client cannot sign in here, and has a key.
    keyed: bool = False
    # The person thinks about it for so many seconds, and the client gives up after so many without a sign of life.
    after: int = 0
    timeout: int | None = None

    @property
    def label(self):
        parts = ["approval", self.name, *([self.elicit] if self.elicit else []), self.way]
        return "-".join([*parts, f"after-{self.after}"] if self.after else parts)

    def tell(self, world):
        options = world.options
        directory = options.results / self.label
        directory.mkdir(parents=True)
        gateway = Gateway(options.binary, directory / "gateway", {"access_keys": {"enabled": True}})
        # Browsers have passkeys for names, not for addresses.
        gateway.url = gateway.url.replace("127.0.0.1", "localhost")
        gateway.settings["public_url"] = gateway.url
        with self.paged(gateway, directory), gateway:
            said = self.run(world, gateway, directory)
            self.check(said)
            self.check_trail(gateway)
            gateway.verify()

    @contextlib.contextmanager
    def paged(self, gateway, directory):
        """The program that is told, and the rule that takes its word."""
        if self.way != "webhook":
            yield
            return
        with Pager(directory, NAME, "approve", "", self.after) as pager:
            pager.gateway = gateway.url
            rule = {"rule": "refunds", "who": ["*"], "what": ["sample/refund_payment"], "then": "ask", "ask": {"assurance": "chat"}}
            gateway.settings |= {**pager.settings, "rules": [rule]}
            yield
        kinds = [message.get("type") or message.get("state") for message in pager.told]
        if sorted(kinds, key=str) != ["approval.asked", "approval.decided", "granted"]:
            raise ApprovalError(f"the program was told {pager.told}")
        if json.loads(pager.told[0]["data"]["arguments"]) != REFUND:
            raise ApprovalError(f"the program was told of another call: {pager.told[0]}")

    def run(self, world, gateway, directory):
        options = world.options
        person = {
            "PERSON_NAME": NAME,
            "PERSON_PASSWORD": PASSWORD,
            "DECIDE_WORD": "refuse" if self.way == "refused" else "approve",
            "DECIDE_AFTER": str(self.after),
            "DECIDE_LOG": directory / "decide.log",
            "DECIDE_PICTURES": directory,
            **({"DECIDE_PASSKEY": "1"} if self.way == "passkey" else {}),
        }
        # A client that can open a page brings its person to it; everybody else looks into the inbox.
        sent = self.elicit and self.way in ("page", "refused")
        task = drivers.Task(
            url=gateway.endpoint("sample"),
            tool="refund_payment",
            arguments=REFUND,
            pause=0,
            port=free_port(),
            directory=directory,
            environment={**drivers.browser(directory, options.node, "decides" if sent else "elsewhere"), **person},
            node=options.node,
            pythons={"1": options.python1, "1.9": options.python19, "2": options.python2},
            elicit=self.elicit,
            then="show_ledger",
            timeout=self.timeout,
            key=self.key(gateway) if self.keyed else None,
        )
        sits = not sent and self.way != "webhook"
        with self.deciding(world, gateway, directory, person) if sits else contextlib.nullcontext():
            return self.drive(task)

    def key(self, gateway):
        said = gateway.command("key", "add", "--person", NAME, "--server", "sample", "--name", "early", "--days", "1")
        return next(word for word in said.split() if word.startswith("pck_"))

    @contextlib.contextmanager
    def deciding(self, world, gateway, directory, person):
        """The person sits before a browser of their own while the client runs."""
        with open(directory / "decide.err", "w", encoding="utf-8") as errors:
            browser = subprocess.Popen(
                [world.options.node, drivers.HERE / "decide.mjs", f"{gateway.url}/approvals"],
                env={**clean_environment(), **{name: str(value) for name, value in person.items()}},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
            try:
                yield
                if browser.wait(timeout=30) != 0:
                    raise ApprovalError(f"the person could not decide: {(directory / 'decide.err').read_text()[-2000:]}")
            finally:
                browser.kill()
                browser.wait()

    def check(self, said):
        answer, ledger = said["answers"]
        counts = json.loads(ledger)["counts"]
        if self.way == "refused":
            if WHY not in answer:
                raise ApprovalError(f"the model is not told why: {answer!r}")
            if counts:
                raise ApprovalError(f"something was done that was refused: {counts}")
        elif answer != DONE or counts != {"refund_payment": {"done": 1, "failed": 0}}:
            raise ApprovalError(f"the call answered {answer!r}, and the ledger says {counts}")
        if self.elicit and len(said["asked"]) != 1:
            raise ApprovalError(f"the client was asked {len(said['asked'])} times to open a page: {said['asked']}")
        if said["revision"] != self.revision:
            raise ApprovalError(f"spoke {said['revision']} instead of {self.revision}")

    def check_trail(self, gateway):
        """Who asked, who decided and what was made of it, once each."""
        end = "approval.refused" if self.way == "refused" else "approval.granted"
        expected = ["approval.asked", "approval.voted", end]

        def steps(events):
            return [event["event"] for event in events if event["event"].startswith("approval.")]

        events = gateway.wait_for_events(lambda events: set(expected) <= set(steps(events)))
        counted = {kind: steps(events).count(kind) for kind in expected}
        if set(counted.values()) != {1}:
            raise ApprovalError(f"the trail tells {steps(events)} instead of {expected}")


class ApprovalError(Exception):
    """A call did not end as the person decided."""


CLIENTS = [
    ("python-2", drivers.python_sdk("2"), "2026-07-28", None),
    ("python-2", drivers.python_sdk("2"), "2026-07-28", "url"),
    ("typescript-2", drivers.typescript_sdk("typescript_sdk2.mjs", "auto"), "2026-07-28", None),
    ("typescript-2", drivers.typescript_sdk("typescript_sdk2.mjs", "auto"), "2026-07-28", "url"),
    ("python-1", drivers.python_sdk("1"), "2025-11-25", None),
    ("python-1", drivers.python_sdk("1"), "2025-11-25", "url"),
    ("typescript-1", drivers.typescript_sdk("typescript_sdk1.mjs"), "2025-11-25", None),
    ("typescript-1", drivers.typescript_sdk("typescript_sdk1.mjs"), "2025-11-25", "url"),
    ("python-1.9", drivers.python_sdk_of("1.9"), "2025-03-26", None),
]
# Each way with a client of each revision, and the page with all of them.
STORIES = [
    ApprovalStory(name, drive, revision, way, elicit, keyed=name == "python-1.9")
    for name, drive, revision, elicit in CLIENTS
    for way in ("page", "passkey", "webhook", "refused")
    if way == "page" or name.startswith("python")
]
# Clients that ask for progress wait for as long as there is some: the gateway tells of it every 15 seconds.
STORIES += [
    ApprovalStory(name, drive, revision, "page", after=35, timeout=20)
    for name, drive, revision, elicit in CLIENTS
    if name.startswith("typescript") and not elicit
]
