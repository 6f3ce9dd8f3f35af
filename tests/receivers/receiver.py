"""A receiver of the record, made of what others publish: OTLP messages (opentelemetry-proto) or Standard Webhooks.

usage: receiver.py {otlp,webhook} PORT OUT [--secret S] [--refuse TEXT] [--busy N] [--partial TEXT] [--redirect URL]

What it takes is in OUT, one JSON object a line, before it answers. A request whose body has TEXT is refused with 400, or of
OTLP records only those that have it; the first N requests are put off with 503 and Retry-After; all are sent on to URL.
"""

import argparse
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["otlp", "webhook"])
parser.add_argument("port", type=int)
parser.add_argument("out")
parser.add_argument("--secret")
parser.add_argument("--refuse")
parser.add_argument("--partial")
parser.add_argument("--busy", type=int, default=0)
parser.add_argument("--redirect")
options = parser.parse_args()
lock = Lock()
busy = options.busy


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def records(body):
    request = ExportLogsServiceRequest.FromString(body)
    for of_resource in request.resource_logs:
        resource = {pair.key: value(pair.value) for pair in of_resource.resource.attributes}
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                yield {
                    "resource": resource,
                    "scope": of_scope.scope.name,
                    "text": record.body.string_value,
                    "event": record.event_name,
                    "severity": [record.severity_number, record.severity_text],
                    "time": record.time_unix_nano,
                    "trace": record.trace_id.hex(),
                    "attributes": {pair.key: value(pair.value) for pair in record.attributes},
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global busy
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): text for name, text in self.headers.items()}
        with lock:
            if options.redirect:
                return self.answer(307, {"location": options.redirect})
            if busy > 0:
                busy -= 1
                return self.answer(503, {"retry-after": "1"})
            if options.refuse and options.refuse.encode() in body:
                return self.answer(400)
            if options.kind == "otlp":
                taken = list(records(body))
                for item in taken:
                    item["authorization"] = headers.get("authorization")
                refused = [item for item in taken if options.partial and options.partial in item["text"]]
                self.keep([item for item in taken if item not in refused])
                response = ExportLogsServiceResponse()
                if refused:
                    response.partial_success.rejected_log_records = len(refused)
                    response.partial_success.error_message = "not these"
                return self.answer(200, {"content-type": "application/x-protobuf"}, response.SerializeToString())
            try:
                message = Webhook(options.secret).verify(body, headers)
            except WebhookVerificationError:
                return self.answer(401)
            data = message["data"]
            if message["type"] == "journal.head":
                self.keep([data])
                return self.answer(204)
            self.keep([{"id": headers["webhook-id"], "type": message["type"], **data, "text": line} for line in data.pop("lines")])
            self.answer(204)

    def keep(self, items):
        with open(options.out, "a", encoding="utf-8") as out:
            for item in items:
                out.write(json.dumps(item) + "\n")
            out.flush()
            os.fsync(out.fileno())

    def answer(self, status, headers=None, body=b""):
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
print("ready", flush=True)
server.serve_forever()
