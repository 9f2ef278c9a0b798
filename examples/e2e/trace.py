"""Follows calls from one process to the next by their spans, as an OpenTelemetry Collector took them.

`orders serve --otlp` is called by Python's grpcio, instrumented by opentelemetry-instrumentation-grpc,
and by `orders call --otlp`: each call is one trace. The collector is ours as little as that client.

Usage: trace.py PATH_OF_ORDERS PATH_OF_COLLECTOR
"""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile

import grpc
from count import until_over
from harness import PATIENCE, expect, fault, generated, serving
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import client_interceptor
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from otel_receiver import receiving

OTLP = "--otlp"  # of `orders serve` and of `orders call`
NO_DELAY = ["--drain-delay", "0s"]
VERBOSE = "-v"  # makes `orders call` tell its trace

SERVICE = "orders.v1.OrderService"
UNKNOWN = "no.such.Service/Method"
MISSING = "no-such-order"
FOREIGN = "foreign-client"  # the Python client's service.name
SERVER_ERRORS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
EXCEPTION = "rpc.server.call.exception"
ERROR = 17  # the severity
PANIC = "asked to panic"  # what a panic's text says, and no caller may see
OURS = ("rpc.", "error.", "server.")  # the attributes of our spans that are compared, all of them


@dataclasses.dataclass
class Call:
    """A call that was made, and how its caller saw it end."""

    what: str
    method: str
    code: str
    text: str
    trace: str
    seen: str = ""  # all that an error showed


class Held(grpc.UnaryStreamClientInterceptor):
    """Holds the latest stream: its instrumentation gives a generator, which can't be cancelled."""

    def intercept_unary_stream(self, continuation, client_call_details, request):
        self.stream = continuation(client_call_details, request)
        return self.stream


def ending(call):
    """A call's code and text, and all that an error shows."""
    try:
        call()
        return "OK", "", ""
    except grpc.RpcError as error:
        seen = f"{error} {error.initial_metadata()} {error.trailing_metadata()}"
        return error.code().name, error.details(), seen


def tracing_to(endpoint):
    """A provider whose every span has arrived when it is over."""
    provider = TracerProvider(resource=Resource.create({"service.name": FOREIGN}))
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def foreign_calls(channel, held, services, pb, order):
    """What Python's grpcio is to call: a name, the method, the code to come, and the call."""
    stub = services.OrderServiceStub(channel)
    get = pb.GetOrderRequest(id=order)
    page = pb.ListOrdersRequest(page_size=4)
    nothing = pb.GetOrderRequest(id=MISSING)

    def get_order(request=get, metadata=None):
        stub.GetOrder(request, metadata=metadata, timeout=PATIENCE)

    def list_orders(metadata=None):
        for _ in stub.ListOrders(page, metadata=metadata, timeout=PATIENCE):
            pass

    def watch_and_cancel():
        for _ in stub.WatchOrder(pb.WatchOrderRequest(id=order), timeout=PATIENCE):
            held.stream.cancel()

    def unknown():
        channel.unary_unary(f"/{UNKNOWN}")(b"", timeout=PATIENCE)

    return [
        ("unary", "GetOrder", "OK", get_order),
        ("server streaming", "ListOrders", "OK", list_orders),
        ("not found", "GetOrder", "NOT_FOUND", lambda: get_order(nothing)),
        ("panic", "GetOrder", "INTERNAL", lambda: get_order(metadata=fault("panic"))),
        ("panic in a stream", "ListOrders", "INTERNAL", lambda: list_orders(fault("panic-after=1"))),
        ("cancelled", "WatchOrder", "CANCELLED", watch_and_cancel),
        ("no such method", None, "UNIMPLEMENTED", unknown),
    ]


def made_by_foreign(address, endpoint, services, pb, order):
    """The calls that Python's grpcio made, each inside a span of its own."""
    provider = tracing_to(endpoint)
    tracer = provider.get_tracer(FOREIGN)
    made = []
    with grpc.insecure_channel(address) as bare:
        held = Held()
        channel = grpc.intercept_channel(bare, held)
        channel = intercept_channel(channel, client_interceptor(provider))
        for what, method, expected, call in foreign_calls(channel, held, services, pb, order):
            with tracer.start_as_current_span(what) as around:
                code, text, seen = ending(call)
            expect(f"grpcio, {what}", code, expected)
            trace = f"{around.get_span_context().trace_id:032x}"
            path = f"{SERVICE}/{method}" if method else UNKNOWN
            made.append(Call(what, path, code, text, trace, seen))
    provider.shutdown()
    return made


def made_by_orders(orders, address, endpoint, order, receiver):
    """The calls that `orders call` made; each tells its trace, which has arrived when it is over."""
    made = []
    options = ["--to", f"http://{address}", OTLP, endpoint, VERBOSE]
    kinds = [("orders call", order, "OK"), ("orders call, not found", MISSING, "NOT_FOUND")]
    for what, id, code in kinds:
        command = [orders, "call", "get-order", "--id", id, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        expect(f"{what}, succeeds", done.returncode == 0, code == "OK")
        told = set(re.findall(r"\b[0-9a-f]{32}\b", done.stderr))
        arrived = sorted(told & {span.trace for span in receiver.spans})
        if len(arrived) != 1:
            sys.exit(f"{what}: it tells {sorted(told)}, of which {arrived} arrived:\n{done.stderr}")
        made.append(Call(what, f"{SERVICE}/GetOrder", code, "", arrived[0]))
    return made


def of_trace(receiver, trace):
    return [span for span in receiver.spans if span.trace == trace]


def of_kind(call, spans, kind):
    return only(f"{call.what}, of kind {kind}", [span for span in spans if span.kind == kind])


def line_of(span):
    """A span, in one line; of whatever generation its names are."""
    codes = [str(value) for key, value in span.attributes.items() if key.endswith("status_code")]
    words = [span.service, span.kind, span.name, *codes]
    if span.status != "UNSET":
        words.append(": ".join([span.status, *span.message.splitlines()[:1]]))
    return " ".join(words)


def show(what, trace, receiver):
    """A trace, as a tree."""
    print(f"\n{what}: {trace}")
    spans = of_trace(receiver, trace)
    ids = {span.id for span in spans}

    def below(parent, indent):
        for span in sorted(spans, key=lambda span: span.start):
            if span.parent == parent:
                print(f"{indent}{line_of(span)}")
                below(span.id, indent + "  ")

    for parent in sorted({span.parent for span in spans} - ids):
        if parent:
            print(f"  (of {parent}, which did not arrive)")
        below(parent, "  ")


def only(what, found):
    if len(found) != 1:
        sys.exit(f"{what}: {len(found)} arrived, one is expected")
    return found[0]


def differ(what, seen, expected):
    """A line for each key whose value is another one, or that only one of both has."""
    for key in sorted({*seen, *expected}):
        if key not in seen:
            yield f"{what}: no {key}, expected {expected[key]!r}"
        elif key not in expected:
            yield f"{what}: {key} is {seen[key]!r}, expected none"
        elif seen[key] != expected[key]:
            yield f"{what}: {key} is {seen[key]!r}, expected {expected[key]!r}"


def facts(span, *prefixes):
    """What is compared of a span: of its attributes, those that one of the prefixes begins."""
    found = {"name": span.name, "kind": span.kind, "parent": span.parent, "status": span.status}
    for key, value in span.attributes.items():
        if key.startswith(prefixes):
            found[key] = value
    return found


def of_ours(call, kind, parent, address, failed):
    """The facts of a span by our layer, as they should be."""
    host, port = address.rsplit(":", 1)
    known = call.method != UNKNOWN
    expected = {
        "name": call.method if known else "grpc",
        "kind": kind,
        "parent": parent,
        "status": "ERROR" if failed else "UNSET",
        "rpc.system.name": "grpc",
        "rpc.method": call.method if known else "_OTHER",
        "rpc.response.status_code": call.code,
        "server.address": host,
        "server.port": int(port),
    }
    if not known:
        expected["rpc.method_original"] = call.method
    if failed:
        expected["error.type"] = call.code
    return expected


def wrong_in_server(call, span, parent, address):
    """What is not as it should be in a server span."""
    what = f"{call.what}, the server span"
    failed = call.code in SERVER_ERRORS
    seen = {
        **facts(span, *OURS),
        "description": span.message,
        "network.peer.address": span.attributes.get("network.peer.address"),
    }
    expected = {
        **of_ours(call, "SERVER", parent, address, failed),
        "description": call.text if failed else "",
        "network.peer.address": "127.0.0.1",
    }
    yield from differ(what, seen, expected)
    port = span.attributes.get("network.peer.port")
    if not (isinstance(port, int) and 0 < port < 65536):
        yield f"{what}: network.peer.port is {port!r}"


def wrong_in_foreign_client(call, span, parent):
    """What is not as it should be in grpcio's span, which has the names of 1.37."""
    service, method = call.method.split("/")
    expected = {
        "name": f"/{call.method}",
        "kind": "CLIENT",
        "parent": parent,
        "status": "UNSET" if call.code == "OK" else "ERROR",
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "rpc.grpc.status_code": grpc.StatusCode[call.code].value[0],
    }
    yield from differ(f"{call.what}, grpcio's span", facts(span, "rpc."), expected)


def wrong_in_panic(call, span, records):
    """What is not as it should be in the record of a panic, and in what its caller saw."""
    found = [record for record in records if record.span == span.id]
    record = only(f"{call.what}, {EXCEPTION}", found)
    what = f"{call.what}, the record"
    seen = {"trace": record.trace, "event": record.event, "severity": record.severity}
    yield from differ(what, seen, {"trace": span.trace, "event": EXCEPTION, "severity": ERROR})
    if PANIC not in record.attributes.get("exception.message", ""):
        yield f"{what}: no {PANIC!r} in {record.attributes}"
    if not record.attributes.get("exception.type"):
        yield f"{what}: no exception.type in {record.attributes}"
    if PANIC in call.seen:
        yield f"{call.what}: the caller saw {call.seen!r}"


def wrong_in_foreign(call, spans, address):
    """What is not as it should be in the trace of a call by Python's grpcio."""
    around = only(f"{call.what}, without a parent", [span for span in spans if not span.parent])
    client, server = of_kind(call, spans, "CLIENT"), of_kind(call, spans, "SERVER")
    yield from wrong_in_foreign_client(call, client, around.id)
    yield from wrong_in_server(call, server, client.id, address)


def wrong_in_ours(call, spans, address, not_found):
    """What is not as it should be in the trace of an `orders call`."""
    client, server = of_kind(call, spans, "CLIENT"), of_kind(call, spans, "SERVER")
    failed = call.code != "OK"
    what = f"{call.what}, the client span"
    seen = {**facts(client, *OURS), "description": client.message}
    expected = of_ours(call, "CLIENT", "", address, failed)
    yield from differ(what, seen, {**expected, "description": not_found if failed else ""})
    yield from wrong_in_server(call, server, client.id, address)


def wrong(foreign, ours, first, receiver, address):
    """Whatever is not as it should be."""
    not_found = next(call.text for call in foreign if call.code == "NOT_FOUND")
    for call in foreign:
        yield from wrong_in_foreign(call, of_trace(receiver, call.trace), address)
    for call in ours:
        yield from wrong_in_ours(call, of_trace(receiver, call.trace), address, not_found)
    server = of_kind(first, of_trace(receiver, first.trace), "SERVER")
    yield from wrong_in_server(first, server, "", address)
    panics = [call for call in foreign if call.code == "INTERNAL"]
    records = [record for record in receiver.records if record.event == EXCEPTION]
    for call in panics:
        server = of_kind(call, of_trace(receiver, call.trace), "SERVER")
        yield from wrong_in_panic(call, server, records)
    if len(records) != len(panics):
        yield f"{EXCEPTION}: {len(records)} arrived for {len(panics)} panics"
    calls = {call.trace for call in [first, *foreign, *ours]}
    for span in receiver.spans:
        if span.trace not in calls:
            yield f"{line_of(span)}: its trace {span.trace} is of no call"
        if not span.service or span.service.startswith("unknown_service"):
            yield f"{line_of(span)}: its service.name is {span.service!r}"


def made(orders, receiver):
    """A call without a trace, those of Python's grpcio, those of `orders call`; and the address."""
    flags = ["--auth", "off", OTLP, receiver.endpoint, *NO_DELAY]
    with contextlib.ExitStack() as stack:
        pb, services = generated(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        server = serving(orders, log, flags, signal.SIGTERM)
        address, metrics = stack.enter_context(server)
        if not address:
            log.seek(0)
            sys.exit(f"orders serve does not listen:\n{log.read()}")
        with grpc.insecure_channel(address) as bare:
            stub = services.OrderServiceStub(bare)
            new = pb.CreateOrderRequest(
                customer_email="ann@example.org", total_cents=1, currency="EUR"
            )
            order = stub.CreateOrder(new, timeout=PATIENCE).id
        foreign = made_by_foreign(address, receiver.endpoint, services, pb, order)
        ours = made_by_orders(orders, address, receiver.endpoint, order, receiver)
        until_over(metrics)
    # The server has stopped, so all spans were sent.
    method = f"{SERVICE}/CreateOrder"
    traces = [span.trace for span in receiver.spans if span.name == method]
    first = Call("a call without a trace", method, "OK", "", only(method, traces))
    return first, foreign, ours, address


def main(orders, collector):
    for name in [name for name in os.environ if name.startswith("OTEL_") or name == "RUST_LOG"]:
        del os.environ[name]
    with receiving(collector) as receiver:
        first, foreign, ours, address = made(orders, receiver)
        calls = [first, *foreign, *ours]
        for call in calls:
            show(call.what, call.trace, receiver)
        strays = {span.trace for span in receiver.spans} - {call.trace for call in calls}
        for trace in sorted(strays):
            show("of no call", trace, receiver)
        print(f"\n{len(receiver.spans)} spans and {len(receiver.records)} log records arrived")
        problems = 0
        for problem in wrong(foreign, ours, first, receiver, address):
            print(problem)
            problems += 1
        expect("problems", problems, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
