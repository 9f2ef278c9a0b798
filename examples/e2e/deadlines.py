"""Calls `orders serve` with Python's grpcio: the code of calls whose deadline the server enforces.

grpcio's own timer would end a call before the server's answer arrives. So the calls have no `timeout=`: they send
`grpc-timeout` as metadata, or have no deadline, and the limits are the server's.

Usage: deadlines.py PATH_OF_ORDERS
"""

import json
import sys
import tempfile
import threading

import grpc
from harness import PATIENCE, expect, fault, generated, serving

SERVICE = "orders.v1.OrderService"
DEFAULT, CAP = "1s", "2s"
LIMITS = ("--auth", "off", "--default-deadline", DEFAULT, "--deadline-cap", CAP)

SHORT = (("grpc-timeout", "300m"),)
LONG = (("grpc-timeout", f"{PATIENCE}S"),)
HANGS = fault("delay=1h")

CALLERS = "DEADLINE_EXCEEDED 'the caller's deadline has passed'"


def servers(limit):
    return f"DEADLINE_EXCEEDED 'the server's limit of {limit} for this call has passed'"


class Calls:
    """One call of each kind. Each returns the number of messages that came, and how the call ended."""

    def __init__(self, stub, pb):
        self.stub, self.pb = stub, pb
        self.new = pb.CreateOrderRequest(
            customer_email="ann@example.org", total_cents=1, currency="EUR"
        )
        self.quote = pb.QuoteRequest(reference="r", total_cents=1, currency="EUR")
        self.id = stub.CreateOrder(self.new).id

    def unary(self, metadata):
        get = self.pb.GetOrderRequest(id=self.id)
        return one(lambda: self.stub.GetOrder(get, metadata=metadata))

    def client_stream(self, metadata, requests=None):
        requests = iter([self.new]) if requests is None else requests(self.new)
        return one(lambda: self.stub.ImportOrders(requests, metadata=metadata))

    def server_stream(self, metadata):
        page = self.pb.ListOrdersRequest(page_size=1)
        return many(self.stub.ListOrders(page, metadata=metadata))

    def watch(self, metadata):
        return many(self.stub.WatchOrder(self.pb.WatchOrderRequest(id=self.id), metadata=metadata))

    def bidi_stream(self, metadata, requests=None):
        requests = iter([self.quote]) if requests is None else requests(self.quote)
        return many(self.stub.QuoteOrders(requests, metadata=metadata))


def ending(error):
    return f"{error.code().name} '{error.details()}'"


def one(call):
    try:
        call()
        return "1, OK"
    except grpc.RpcError as error:
        return f"0, {ending(error)}"


def many(answers):
    count = 0
    try:
        for _ in answers:
            count += 1
        return f"{count}, OK"
    except grpc.RpcError as error:
        return f"{count}, {ending(error)}"


def without_end(over):
    """Requests that go on after the first one until the check is over."""

    def requests(first):
        yield first
        over.wait(PATIENCE)

    return requests


def check(calls, requests):
    kinds = [calls.unary, calls.client_stream, calls.server_stream, calls.bidi_stream]
    for call in kinds:
        name = call.__name__
        expect(f"{name}, before the head", call(SHORT + HANGS), f"0, {CALLERS}")
        expect(f"{name}, never, with a deadline", call(LONG), "1, OK")
        expect(f"{name}, never, without one", call(()), "1, OK")
    between = calls.client_stream(SHORT, requests)
    expect("client_stream, between messages", between, f"0, {CALLERS}")
    expect("server_stream, between messages", calls.watch(SHORT), f"1, {CALLERS}")
    between = calls.bidi_stream(SHORT, requests)
    expect("bidi_stream, between messages", between, f"1, {CALLERS}")

    expect("unary, the server's default", calls.unary(HANGS), f"0, {servers(DEFAULT)}")
    expect("unary, the server's cap", calls.unary(LONG + HANGS), f"0, {servers(CAP)}")
    longer = (("grpc-timeout", "2500m"),)
    expect("server_stream, longer than the cap", calls.watch(longer), f"1, {CALLERS}")

    # grpcio does not send a value that it cannot read, so only this one can be refused.
    none_left = calls.unary((("grpc-timeout", "0n"),))
    refused = "0, DEADLINE_EXCEEDED 'the caller's deadline had passed when the call arrived'"
    expect("unary, no time left", none_left, refused)


def check_log(log):
    """Each of those calls in the log: the codes and endings agree with what the caller saw."""
    log.seek(0)
    endings = {}
    for line in map(json.loads, log):
        if line.get("message") != "finished call":
            continue
        key = (line["rpc.response.status_code"], line["grpc.ended_by"])
        endings[key] = endings.get(key, 0) + 1
    expected = {
        ("OK", "service"): 1 + 4 * 2,
        ("DEADLINE_EXCEEDED", "deadline"): 4 + 3 + 3,
        ("DEADLINE_EXCEEDED", "refusal"): 1,
    }
    expect("the log", dict(sorted(endings.items())), dict(sorted(expected.items())))


def main(orders):
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        pb, services = generated(folder)
        with serving(orders, log, LIMITS) as (address, _):
            with grpc.insecure_channel(address) as channel:
                calls = Calls(services.OrderServiceStub(channel), pb)
                check(calls, without_end(over))
                over.set()
        check_log(log)


if __name__ == "__main__":
    main(sys.argv[1])
