"""Runs the official conformance suite: server scenarios directly against the fixture and through the gateway, the
authorization-server scenarios against the gateway, and client scenarios against the gateway as a client of the suite's
servers. Writes docs/conformance.md.

The run fails when a scenario fails without a reason in reasons.json, when it does worse through the gateway than
directly without one, when a scenario with a reason passes after all, and, with --check, when the page is not the
committed one.
"""

import argparse
import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "clients"))

import grant  # noqa: E402
from gateway import NAME, PASSWORD, Gateway, clean_environment, free_port, program  # noqa: E402
from person import Person, open_in_background  # noqa: E402

SUITE = HERE / "node_modules/@modelcontextprotocol/conformance"
PAGE = ROOT / "docs/conformance.md"

# Revision → how the suite is asked for it. The two newest have frozen sets of requirements; those run everything the
# revision requires, and what is not scored besides.
REVISIONS = {
    "2025-03-26": ["--spec-version", "2025-03-26", "--suite", "all"],
    "2025-06-18": ["--spec-version", "2025-06-18", "--suite", "all"],
    "2025-11-25": ["--requirements", "2025-11-25"],
    "2026-07-28": ["--requirements", "2026-07-28"],
}
AUTHORIZATION = "authorization server"
AUTHORIZATION_REVISIONS = ["2025-11-25", "2026-07-28"]
# What the gateway itself does as a client: opening, calling, and everything about authorization. What the client in
# front of it does, it passes on, and the server scenarios show that.
AS_A_CLIENT = {
    revision: f"as a client, {revision}" for revision in AUTHORIZATION_REVISIONS
} | {None: "as a client, extensions"}
OWN = re.compile(r"initialize$|tools_call$|auth/")
# Scenarios of the extensions that the gateway has.
EXTENSIONS = ["auth/client-credentials-jwt", "auth/client-credentials-basic"]
AT_ONCE = 2

# How bad a scenario's result is.
ORDER = ["pass", "warning", "fail", "not run"]


def main():
    options = parse_options()
    shutil.rmtree(options.results, ignore_errors=True)
    options.results.mkdir(parents=True)
    reasons = json.loads((HERE / "reasons.json").read_text())
    with fixture(options) as fixture_url, Gateway(options.binary, options.results / "gateway") as gateway:
        person = Person(NAME, PASSWORD)
        endpoint = gateway.protect(fixture_url, "fixture")
        direct = run_server_scenarios(options, "direct", fixture_url)
        with signed_in(options, gateway, endpoint, person) as url:
            through = run_server_scenarios(options, "gateway", url)
        authorization = run_authorization_scenarios(options, gateway, endpoint, person)
        gateway.verify()
    tables = {revision: rows(direct[revision], through[revision]) for revision in REVISIONS}
    tables[AUTHORIZATION] = {scenario: {"gateway": result} for scenario, result in authorization.items()}
    tables |= run_client_scenarios(options)
    problems = judge(tables, reasons)
    page = render(tables, reasons)
    if options.check and PAGE.read_text() != page:
        problems.append(f"{PAGE.relative_to(ROOT)} is not what this run found; run without --check and commit it")
    if not options.check:
        PAGE.write_text(page)
    report(tables, problems)


def report(tables, problems):
    for problem in problems:
        print(f"FAIL {problem}")
    results = [row["gateway"] for table in tables.values() for row in table.values()]
    passing = sum(result in ("pass", "warning") for result in results)
    print(f"\n{len(results)} scenarios through the gateway, {passing} pass, {len(results) - passing} with a known reason or a problem")
    print(f"conformance: {passing} passed, {len(problems)} failed")
    sys.exit(1 if problems or not passing else 0)


# Running

@contextlib.contextmanager
def node_program(options, name, *arguments, environment=None):
    """A program of this directory that says `ready` once it listens."""
    with open(options.results / f"{name}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [options.node, HERE / f"{name}.mjs", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**clean_environment(), **(environment or {})},
        )
        try:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{name}.mjs did not start, see {log.name}")
            yield
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def fixture(options):
    port = free_port()
    with node_program(options, "fixture", port):
        yield f"http://127.0.0.1:{port}/mcp"


@contextlib.contextmanager
def signed_in(options, gateway, endpoint, person):
    """The gateway's endpoint as the suite can use it: without a token of its own."""
    token = grant.access_token(gateway.url, endpoint, person, free_port())
    port = free_port()
    path = endpoint.removeprefix(gateway.url)
    with node_program(options, "bearer", port, gateway.port, path, environment={"TOKEN": token}):
        yield f"http://127.0.0.1:{port}{path}"


def run_server_scenarios(options, label, url):
    """Revision → scenario → result."""
    results = {}
    for revision, selection in REVISIONS.items():
        start = time.monotonic()
        output = options.results / label / revision
        output.mkdir(parents=True)
        suite(options, output, ["server", "--url", url, *selection, "-o", output])
        results[revision] = read_results(output, r"^server-(.*)-\d{4}-\d\d-\d\dT[\d-]+Z$", extensions_of(revision))
        print(f"{label:8} {revision}: {summary(results[revision])} ({time.monotonic() - start:.1f} s)", flush=True)
    return results


def run_authorization_scenarios(options, gateway, endpoint, person):
    """The suite shows an authorization URL and waits; the person opens it."""
    port = free_port()
    client = grant.register(gateway.url, f"http://127.0.0.1:{port}/callback")
    results = {}
    for revision in AUTHORIZATION_REVISIONS:
        output = options.results / "authorization" / revision
        output.mkdir(parents=True)
        arguments = [
            "authorization", "--url", gateway.url, "--client-id", client, "--resource", endpoint,
            "--port", port, "--spec-version", revision, "-o", output,
        ]  # fmt: skip
        suite(options, output, arguments, lambda url: open_in_background(person, url))
        found = read_results(output, r"^(?:authorization-server-|authorization-)?(.*?)-\d{4}-\d\d-\d\dT[\d-]+Z$", set())
        results |= {f"{scenario} ({revision})": result for scenario, result in found.items()}
    print(f"{'gateway':8} {AUTHORIZATION}: {summary(results)}", flush=True)
    return results


def run_client_scenarios(options):
    """Table → scenario → result: the suite starts a server and examines what client.py brings there."""
    tables = {}
    for revision, table in AS_A_CLIENT.items():
        start = time.monotonic()
        scenarios = client_scenarios(revision) if revision else EXTENSIONS
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(lambda scenario: run_client_scenario(options, revision, scenario), scenarios))
        tables[table] = {scenario: {"gateway": result} for scenario, result in sorted(zip(scenarios, results))}
        print(f"{table}: {summary(dict(zip(scenarios, results)))} ({time.monotonic() - start:.1f} s)", flush=True)
    return tables


def run_client_scenario(options, revision, scenario):
    output = options.results / "client" / (revision or "extensions") / scenario.replace("/", "-")
    output.mkdir(parents=True)
    command = [sys.executable, HERE / "client.py", "--binary", options.binary, "--results", output / "gateway"]
    selection = ["--spec-version", revision] if revision else []
    suite(options, output, ["client", "--command", shlex.join(map(str, command)), "--scenario", scenario, *selection, "-o", output])
    found = list(output.rglob("checks.json"))
    return result_of(json.loads(found[0].read_text())) if found else "not run"


def client_scenarios(revision):
    """What the revision requires of clients, as far as it is the gateway's own doing."""
    text = (SUITE / "requirements" / f"{revision}.yaml").read_text()
    required = re.search(r"^client:\n((?:  .*\n|\n)+)", text, re.MULTILINE)[1]
    return [scenario for scenario in re.findall(r"^  - (\S+)$", required, re.MULTILINE) if OWN.match(scenario)]


def suite(options, output, arguments, on_url=None):
    """Runs the suite's own command; its exit code says less than its results, so those are read instead."""
    with open(output / "suite.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [options.node, SUITE / "dist/index.js", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
            cwd=output,
        )
        for line in process.stdout:
            log.write(line)
            if on_url and line.startswith("http") and "code_challenge=" in line:
                on_url(line.strip())
        process.wait(timeout=60)


def read_results(output, pattern, ignored):
    results = {}
    for checks in sorted(output.glob("*/checks.json")):
        scenario = re.match(pattern, checks.parent.name).group(1)
        if scenario not in ignored:
            results[scenario] = result_of(json.loads(checks.read_text()))
    if not results:
        raise RuntimeError(f"the suite left no results, see {output}/suite.log")
    return results


def result_of(checks):
    statuses = {check["status"] for check in checks}
    if "FAILURE" in statuses:
        return "fail"
    if "WARNING" in statuses:
        return "warning"
    return "pass" if "SUCCESS" in statuses else "not run"


def extensions_of(revision):
    """Scenarios of optional extensions, which the fixture does not have."""
    path = SUITE / "requirements" / f"{revision}.yaml"
    if not path.exists():
        return set()
    entries = re.findall(r"- scenario: (\S+)\n\s+leg: server\n\s+reason: (\S+)", path.read_text())
    return {scenario for scenario, reason in entries if reason == "extension"}


# Judging

def rows(direct, through):
    names = sorted(direct.keys() | through.keys())
    return {name: {"direct": direct.get(name, "not run"), "gateway": through.get(name, "not run")} for name in names}


def needs_reason(row):
    if row["gateway"] in ("fail", "not run"):
        return True
    return ORDER.index(row["gateway"]) > ORDER.index(row.get("direct", "pass"))


def judge(tables, reasons):
    problems = []
    for table, scenarios in tables.items():
        known = reasons.get(table, {})
        for scenario, row in scenarios.items():
            if needs_reason(row) and scenario not in known:
                found = ", ".join(f"{side}: {result}" for side, result in row.items())
                problems.append(f"{table} / {scenario} ({found}) has no reason in reasons.json")
            if not needs_reason(row) and scenario in known:
                problems.append(f"{table} / {scenario} passes now; take its reason out of reasons.json")
        for scenario in known.keys() - scenarios.keys():
            problems.append(f"{table} / {scenario} is in reasons.json but was not run")
    for table in reasons.keys() - tables.keys():
        problems.append(f"reasons.json names {table}, which was not run")
    return problems


def summary(results):
    passing = sum(result in ("pass", "warning") for result in results.values())
    return f"{passing} of {len(results)} pass"


# Reporting

def render(tables, reasons):
    version = json.loads((SUITE / "package.json").read_text())["version"]
    lines = [
        "# Conformance",
        "",
        "<!-- Generated by tests/conformance/run.py. Do not edit; reasons are in tests/conformance/reasons.json. -->",
        "",
        f"The official suite, `@modelcontextprotocol/conformance` {version}, run by `./test conformance`: every server scenario",
        "against the fixture in `tests/conformance` directly and through the gateway, which asks for a token as always (the suite",
        "cannot sign in, so a small proxy beside it adds one), and the authorization-server scenarios against the gateway itself.",
        "Scenarios of optional extensions (tasks) are left out: the fixture has none. As a client, the gateway stands before the",
        "suite's own servers and authorization servers, and somebody connects their account there through the gateway's pages;",
        "this is examined as far as it is the gateway's doing, not that of the client in front of it.",
        "",
        "| Revision | Scenarios | Pass directly | Pass through the gateway |",
        "|---|---|---|---|",
    ]
    for table, scenarios in tables.items():
        count = {side: sum(row.get(side) in ("pass", "warning") for row in scenarios.values()) for side in ("direct", "gateway")}
        direct = count["direct"] if table in REVISIONS else "-"
        lines.append(f"| {table} | {len(scenarios)} | {direct} | {count['gateway']} |")
    for table, scenarios in tables.items():
        lines += ["", f"## {table[0].upper()}{table[1:]}", ""]
        columns = ["Scenario", "Directly", "Gateway", "Reason"] if table in REVISIONS else ["Scenario", "Gateway", "Reason"]
        lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        for scenario, row in scenarios.items():
            cells = [scenario, *row.values(), reasons.get(table, {}).get(scenario, "")]
            lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=program, default=str(ROOT / "target/debug/portcullis"))
    parser.add_argument("--node", type=program, default="node")
    parser.add_argument("--results", type=Path, default=ROOT / ".cache/results/conformance")
    parser.add_argument("--check", action="store_true", help="compare docs/conformance.md instead of writing it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
