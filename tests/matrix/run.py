"""Runs official clients of both eras against official servers of every revision: directly, where they can speak to each
other, and through the gateway, where every client must reach every server. Writes its section of docs/conformance.md.

A cell passes, or rules.json says why it cannot exist; then the client must see what the rule says. The run fails when a
cell fails, directly or through the gateway, when a rule fits no cell, and, with --check, when the section is not the
committed one.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from page import section, with_section
from world import FEATURES, HERE, SERVERS, WHO, Client, Server, environment_of, running

from gateway import Gateway, GatewayError, clean_environment, program  # from tests/clients, as world.py says

ROOT = HERE.parents[1]
PAGE = ROOT / "docs/conformance.md"
AT_ONCE = 4
# How long one client may take at one server, for everything.
PATIENCE = 240
# Tools that ask: with 2026-07-28 they are begun again with the answer, before that they wait for it.
ASKING = ("elicit_form", "elicit_url", "sampling", "roots")


@dataclass(frozen=True)
class Visit:
    """One client at one server, directly or through the gateway."""

    client: Client
    server: Server
    way: str

    @property
    def label(self):
        return f"{self.way}-{self.client.name}-{self.server.name}"


@dataclass
class Cell:
    outcome: str  # pass, fail, or the rule that says it cannot exist
    why: str = ""


def main():
    options = parse_options()
    shutil.rmtree(options.results, ignore_errors=True)
    state = options.results / "state"
    state.mkdir(parents=True)
    # Processes behind the gateway are of another user.
    state.chmod(0o777)
    rules = json.loads((HERE / "rules.json").read_text())
    visits = [visit for visit in all_visits() if re.search(options.only, visit.label)]
    started = time.monotonic()
    with running(options, state) as places, ThreadPoolExecutor(AT_ONCE) as pool:

        def all_of(way, gateway=None):
            chosen = [visit for visit in visits if visit.way == way]
            keys = access_keys(gateway, chosen) if gateway else {}
            return zip(chosen, pool.map(lambda visit: tried(visit, options, state, places, gateway, keys, rules), chosen))

        found = dict(all_of("direct"))
        if any(visit.way == "gateway" for visit in visits):
            wanted = {visit.server.name for visit in visits if visit.way == "gateway"}
            servers = [registration(server, places, state) for server in SERVERS if server.name in wanted]
            settings = {"access_keys": {"enabled": True}, "legacy_sse": True, "servers": servers}
            with Gateway(options.binary, options.results / "gateway", settings) as gateway:
                found |= dict(all_of("gateway", gateway))
                gateway.verify()
    problems = judge(found, rules, whole=not options.only)
    text = section(found, rules)
    if not options.only:
        page = with_section(PAGE.read_text(), text)
        if options.check and PAGE.read_text() != page:
            problems.append(f"{PAGE.relative_to(ROOT)} is not what this run found; run without --check and commit it")
        if not options.check:
            PAGE.write_text(page)
    report(found, problems, time.monotonic() - started)


def all_visits():
    return [
        Visit(client, server, way)
        for way in ("direct", "gateway")
        for client in WHO
        for server in SERVERS
        if way == "gateway" or (client.era == server.era and server.transport in client.transports)
    ]


# The gateway

def registration(server, places, state):
    """Servers may ask for everything; what they may ask for by default is for other tests."""
    place = places[server.name]
    if "command" in place:
        return {"name": server.name, "command": place["command"], "read": [str(HERE)], "write": [str(state)]}
    return {"name": server.name, "url": place["url"], "private": True, "allow": ["sampling", "roots", "files", "logging"]}


def access_keys(gateway, visits):
    """Each client is a person of its own, so that nobody shares anything with another; one key for each server."""
    pairs = [(visit.client.name, visit.server.name) for visit in visits]
    for name in sorted({person for person, _ in pairs}):
        gateway.add_person(name)

    def key(pair):
        person, server = pair
        try:
            said = gateway.command("key", "add", "--person", person, "--server", server, "--name", "matrix", "--days", "1")
        except GatewayError as error:
            return str(error)
        return next(word for word in said.split() if word.startswith("pck_"))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(pairs, pool.map(key, pairs)))


# One visit

def tried(visit, options, state, places, gateway, keys, rules):
    """Feature → cell."""
    client, server = visit.client, visit.server
    applying = {feature: rule_of(rules, visit, feature) for feature in FEATURES}
    steps = {feature: rule["step"] if rule else feature for feature, rule in applying.items()}
    wanted = [step for step in steps.values() if step]
    target = dict(places[server.name])
    if visit.way == "gateway":
        key = keys[client.name, server.name]
        url = f"{gateway.url}/mcp/{server.name}" + ("/sse" if client.comes_by == "sse" else "")
        target = {"url": url, "transport": client.comes_by, "headers": {"Authorization": f"Bearer {key}"}}
    if client.proxy:
        target = client.proxy(options, target)
    directory = options.results / visit.label
    directory.mkdir(parents=True)
    words = [
        *client.program(options), "--target", json.dumps(target), "--state", state, "--key", visit.label.replace(".", "-"),
        "--features", ",".join(wanted), "--declare", client.declares,
    ]  # fmt: skip
    said, error = run(words, environment_of(client, options, directory), directory)
    spoken = said.get("revision", {}).get("revision")
    if spoken != revision_of(visit):
        said, error = {}, error or f"it speaks {spoken} here, not {revision_of(visit)}"
    cells = {}
    for feature, rule in applying.items():
        step = steps[feature]
        if step is None:
            cells[feature] = Cell(rule["rule"])
            continue
        seen = said.get(step, {"ok": False, "why": error or "it said nothing of this"})
        why = seen["why"] if not seen["ok"] else miscounted(server, step, seen)
        if why:
            cells[feature] = Cell("fail", why)
        elif step.startswith("no_") and not any(words in seen["why"] for words in rule["says"]):
            cells[feature] = Cell("fail", f"{rule['rule']} should say one of {rule['says']}, but: {seen['why']}")
        else:
            cells[feature] = Cell(rule["rule"] if rule else "pass", seen["why"])
    print(f"{visit.label}: {summary(cells)}", flush=True)
    return cells


def run(words, environment, directory):
    """Runs a client; gives what it said of each feature, and what ended it early."""
    with open(directory / "client.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            cwd=directory,
        )
        try:
            printed, _ = process.communicate(timeout=PATIENCE)
            error = f"the client exited with {process.returncode}: {log_end(directory)}" if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
            error = f"the client was not done after {PATIENCE} s"
    (directory / "said.jsonl").write_text(printed)
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return {line.get("feature", "revision"): line for line in lines}, error


def revision_of(visit):
    """What the two must have agreed on: the gateway speaks all that a client can, a server one revision and those before."""
    own = visit.client.revision
    return min(own, visit.server.revision) if own and visit.way == "direct" else own


def log_end(directory):
    lines = (directory / "client.log").read_text(errors="replace").splitlines()
    return " ".join(line.strip() for line in lines[-3:])[-300:]


def rule_of(rules, visit, feature):
    """The first rule that fits; one without clients, servers or ways fits all of them."""
    for rule in rules:
        fits = (
            feature in rule["features"]
            and visit.way in rule.get("ways", ["direct", "gateway"])
            and visit.client.name in rule.get("clients", [visit.client.name])
            and visit.server.name in rule.get("servers", [visit.server.name])
        )
        if fits:
            rule["used"] = True
            return rule
    return None


def miscounted(server, step, seen):
    """What is wrong with how often the tool ran."""
    starts, ends = seen["starts"], seen["ends"]
    rounds = 2 if server.era == "modern" else 1
    if step == "call":
        right = (starts, ends) == (2, 2)
    elif step == "elicit_url":
        # With 2026-07-28 the tool may be asked again until the page is done with.
        right = ends == 1 and (starts == 1 if rounds == 1 else starts >= 2)
    elif step in ASKING:
        right = (starts, ends) == (rounds, 1)
    elif step in ("subscribe", "list_changed"):
        right = starts == ends >= 1
    elif step in ("progress", "logging", "tasks", "plain_job", "uncancelled", "cancelled_elicit_form", "cancelled_elicit_url"):
        right = (starts, ends) == (1, 1)
    elif step.startswith("no_"):
        right = ends == 0 and starts <= 1
    else:
        right = True
    return "" if right else f"ran {starts} times, to its end {ends} times"


# Judging and reporting

def judge(found, rules, whole):
    problems = [
        f"{visit.label} {feature}: {cell.why}"
        for visit, cells in found.items()
        for feature, cell in cells.items()
        if cell.outcome == "fail"
    ]
    if whole:
        problems += [f"rules.json: {rule['rule']} for {rule['features']} fits no cell" for rule in rules if "used" not in rule]
    return problems


def summary(cells):
    failed = [feature for feature, cell in cells.items() if cell.outcome == "fail"]
    passing = sum(cell.outcome == "pass" for cell in cells.values())
    return f"{passing} pass, {len(cells) - passing - len(failed)} cannot exist" + (f", FAIL {' '.join(failed)}" if failed else "")


def report(found, problems, seconds):
    for problem in problems:
        print(f"FAIL {problem}")
    cells = [cell for of_visit in found.values() for cell in of_visit.values()]
    passing = sum(cell.outcome != "fail" for cell in cells)
    print(f"\nmatrix: {passing} passed, {len(problems)} failed ({seconds:.0f} s)")
    sys.exit(1 if problems or not passing else 0)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    cache = ROOT / ".cache"
    parser.add_argument("--binary", type=program, default=str(ROOT / "target/debug/portcullis"))
    parser.add_argument("--rmcp", type=program, default=str(ROOT / "target/debug/portcullis-matrix-rmcp"))
    parser.add_argument("--node", type=program, default=str(cache / "node/bin/node"))
    for series in ("1", "2", "1.7", "1.9", "1.12"):
        parser.add_argument(f"--python{series}", type=program, default=str(cache / f"python-sdk-{series}/bin/python"))
    parser.add_argument("--results", type=Path, default=cache / "results/matrix")
    parser.add_argument("--only", default="", help="what the label of a visit must match, as direct-python-1-http-2025-06-18")
    parser.add_argument("--check", action="store_true", help="compare docs/conformance.md instead of writing it")
    options = parser.parse_args()
    options.pythons = {series: getattr(options, f"python{series}") for series in ("1", "2", "1.7", "1.9", "1.12")}
    options.results = options.results.resolve()
    return options


if __name__ == "__main__":
    main()
