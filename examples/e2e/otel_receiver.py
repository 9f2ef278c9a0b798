"""An OpenTelemetry Collector, and what it received: it takes OTLP/gRPC, and hands all on as OTLP/JSON.

It has no queue: it answers an export only after what was exported is in `Receiver` here.
"""

import contextlib
import dataclasses
import http.server
import json
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading

from harness import PATIENCE, expect

KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUSES = ["UNSET", "OK", "ERROR"]


@dataclasses.dataclass
class Span:
    """A span, with the codes by their names."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str  # empty: none
    start: int
    attributes: dict
    status: str
    message: str


@dataclasses.dataclass
class Record:
    """A log record."""

    service: str
    event: str
    severity: int
    trace: str
    span: str
    attributes: dict


class Receiver:
    """What has arrived."""

    def __init__(self):
        self.endpoint = None
        self.spans = []
        self.records = []

    def take(self, path, exported):
        if path == "/v1/traces":
            found = items(exported, "resourceSpans", "scopeSpans", "spans")
            self.spans += [span_of(resource, span) for resource, span in found]
        elif path == "/v1/logs":
            found = items(exported, "resourceLogs", "scopeLogs", "logRecords")
            self.records += [record_of(resource, record) for resource, record in found]
        else:
            raise ValueError(f"nothing but spans and logs is expected, not {path}")


def items(exported, resources, scopes, leaves):
    """All leaves of an export, each with its resource's attributes."""
    for resource in exported.get(resources, []):
        attributes = attributes_of(resource.get("resource", {}))
        for scope in resource.get(scopes, []):
            for leaf in scope.get(leaves, []):
                yield attributes, leaf


def span_of(resource, span):
    status = span.get("status", {})
    return Span(
        service=resource.get("service.name", ""),
        name=span["name"],
        kind=KINDS[span.get("kind", 0)],
        trace=span["traceId"],
        id=span["spanId"],
        parent=span.get("parentSpanId", ""),
        start=int(span["startTimeUnixNano"]),
        attributes=attributes_of(span),
        status=STATUSES[status.get("code", 0)],
        message=status.get("message", ""),
    )


def record_of(resource, record):
    return Record(
        service=resource.get("service.name", ""),
        event=record.get("eventName", ""),
        severity=record.get("severityNumber", 0),
        trace=record.get("traceId", ""),
        span=record.get("spanId", ""),
        attributes=attributes_of(record),
    )


def attributes_of(holder):
    """Attributes as a dict; a key that is there twice is an error."""
    found = {}
    for attribute in holder.get("attributes", []):
        if attribute["key"] in found:
            raise ValueError(f"the attribute {attribute['key']} is there twice: {holder}")
        found[attribute["key"]] = value_of(attribute.get("value", {}))
    return found


def value_of(value):
    """OTLP/JSON writes 64-bit integers as text."""
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [value_of(each) for each in content.get("values", [])]
        if kind == "kvlistValue":
            return {each["key"]: value_of(each["value"]) for each in content.get("values", [])}
        return content
    return None


def sink_of(receiver):
    """An HTTP server that gives the receiver all that is posted to it; what it can't read is refused."""

    class Sink(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                receiver.take(self.path, json.loads(body))
                status, answer = 200, b"{}"
            except Exception as error:
                print(f"the collector handed on what can't be read: {error!r}", file=sys.stderr)
                status, answer = 400, repr(error).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)


def settings(port):
    """The collector's configuration (YAML takes JSON): a free port; no queue, no second try."""
    pipeline = {"receivers": ["otlp"], "exporters": ["otlp_http"]}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
        "exporters": {
            "otlp_http": {
                "endpoint": f"http://127.0.0.1:{port}",
                "encoding": "json",
                "compression": "none",
                "sending_queue": {"enabled": False},
                "retry_on_failure": {"enabled": False},
            }
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"encoding": "json"}},
            "pipelines": {"traces": pipeline, "logs": pipeline},
        },
    }


def lines_of(stream):
    """The lines of a stream as they come, in a queue; `None` at its end."""
    lines = queue.Queue()

    def read():
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def started(lines):
    """The address on which the collector takes OTLP/gRPC, as its log tells."""
    address, seen = None, []
    while True:
        try:
            line = lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = None
        if line is None:
            sys.exit("the collector does not start:\n" + "".join(seen))
        seen.append(line)
        with contextlib.suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if entry["msg"] == "Starting GRPC server":
                address = entry["endpoint"]
            elif entry["msg"].startswith("Everything is ready") and address:
                return address


def complaints(lines):
    """What the collector logged since that is more than information."""
    while (line := lines.get(timeout=PATIENCE)) is not None:
        try:
            level = json.loads(line)["level"]
        except (json.JSONDecodeError, KeyError):
            level = "?"
        if level not in ("debug", "info"):
            yield line


@contextlib.contextmanager
def receiving(collector):
    """A collector on a free port of loopback, and what it receives."""
    receiver = Receiver()
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(sink_of(receiver))
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        stack.callback(sink.shutdown)
        config = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "config.yaml"
        config.write_text(json.dumps(settings(sink.server_port)))
        command = [collector, "--config", config]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        stack.callback(process.kill)
        lines = lines_of(process.stderr)
        receiver.endpoint = f"http://{started(lines)}"
        yield receiver
        process.terminate()
        expect("the collector's exit status", process.wait(PATIENCE), 0)
        expect("its complaints", "".join(complaints(lines)), "")
