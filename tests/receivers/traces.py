"""A receiver of spans, made of OpenTelemetry's own messages.

usage: traces.py OUT

Says the port it listens at, then writes each span to OUT, one JSON object a line. The first request is put off with 503.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

busy = 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global busy
        body = self.rfile.read(int(self.headers["content-length"]))
        if busy > 0:
            busy -= 1
            return self.answer(503, b"")
        request = ExportTraceServiceRequest.FromString(body)
        with open(sys.argv[1], "a", encoding="utf-8") as out:
            for of_resource in request.resource_spans:
                resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
                for of_scope in of_resource.scope_spans:
                    for span in of_scope.spans:
                        out.write(json.dumps(self.told(resource, span)) + "\n")
        self.answer(200, ExportTraceServiceResponse().SerializeToString())

    def told(self, resource, span):
        return {
            "path": self.path,
            "authorization": self.headers["authorization"],
            "resource": resource,
            "trace": span.trace_id.hex(),
            "span": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "state": span.trace_state,
            "name": span.name,
            "kind": span.kind,
            "start": span.start_time_unix_nano,
            "end": span.end_time_unix_nano,
            "attributes": {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes},
            "error": span.status.code == 2,
        }

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
