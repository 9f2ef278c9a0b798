"""Calls `orders serve --limit` by Python's grpcio: what is told of a call too many, and who comes back by itself.

Usage: limits.py PATH_OF_ORDERS
"""

import collections
import json
import queue
import sys
import tempfile
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2
from harness import PATIENCE, bearer, expect, generated, serving
from tokens import READ, WRITE, Tokens

SERVICE = "orders.v1.OrderService"

# One call per second becomes available: a slow machine may pass more than two. A limit that refused keeps refusing.
BY_CALLER = ["CreateOrder", "ListOrders", "ImportOrders", "QuoteOrders"]
RETRIED = "GetOrder"
LIMITS = [
    *(f"{SERVICE}/{method}=1/2:principal" for method in BY_CALLER),
    f"{SERVICE}/{RETRIED}=1/1",
]

# The number of concurrent calls; one passes per second. Each has enough attempts.
AT_ONCE = 4

# Without the server's delay, a client with this policy would use up its attempts within a fifth of a second.
POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.01s",
    "maxBackoff": "0.05s",
    "backoffMultiplier": 1,
    "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
}


def details(error):
    """What of `google.rpc` came with a status, by name."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    found = {}
    for detail in status.details:
        name = detail.TypeName().removeprefix("google.rpc.")
        found[name] = getattr(error_details_pb2, name)()
        detail.Unpack(found[name])
    return found


def refused(call):
    """The error of the first call that is refused, of those made one after the other."""
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < patience:
        try:
            call()
        except grpc.RpcError as error:
            return error
    sys.exit("every call has passed")


class Caller:
    """Makes calls of each kind."""

    def __init__(self, stub, pb, token):
        self.stub, self.pb = stub, pb
        self.how = {"metadata": bearer(token), "timeout": PATIENCE}
        self.order = pb.CreateOrderRequest(
            customer_email="ann@example.org", total_cents=1, currency="EUR"
        )
        self.quote = pb.QuoteRequest(reference="r", total_cents=1, currency="EUR")

    def create(self):
        return self.stub.CreateOrder(self.order, **self.how).id

    def list(self):
        return list(self.stub.ListOrders(self.pb.ListOrdersRequest(page_size=1), **self.how))

    def import_orders(self):
        return self.stub.ImportOrders(iter([self.order]), **self.how).created

    def quote_orders(self):
        return list(self.stub.QuoteOrders(iter([self.quote]), **self.how))

    def of_each_kind(self):
        kinds = [self.create, self.list, self.import_orders, self.quote_orders]
        return dict(zip(BY_CALLER, kinds))

    def import_without_end(self, requests):
        return self.stub.ImportOrders.future(requests(self.order), **self.how)

    def quote_without_end(self, requests):
        return self.stub.QuoteOrders(requests(self.quote), **self.how)


def refused_before_its_end(begin):
    """The first call that is over, of some whose requests do not end as long as none is."""
    over, ended = threading.Event(), queue.Queue()

    def requests(first):
        yield first
        over.wait(PATIENCE)

    begun = [begin(requests) for _ in range(AT_ONCE)]
    for call in begun:
        call.add_done_callback(ended.put)
    first = ended.get(timeout=PATIENCE / 2)
    over.set()
    return first


def check_told(method, error):
    """What a caller is told, as grpcio and googleapis-common-protos read it."""
    expect(f"{method}, refused", error.code().name, "RESOURCE_EXHAUSTED")
    found = details(error)
    expect("  details", sorted(found), ["ErrorInfo", "QuotaFailure", "RetryInfo"])
    info = found["ErrorInfo"]
    expect("  ErrorInfo", (info.domain, info.reason), ("orders.v1", "RATE_LIMITED"))
    expect("  its limit", dict(info.metadata), {"limit": "1/2:principal"})
    [limit] = found["QuotaFailure"].violations
    words = (limit.subject, limit.description)
    expect("  QuotaFailure", words, ("principal", "1 call per second, 2 at once"))
    wait = -(-found["RetryInfo"].retry_delay.ToNanoseconds() // 1_000_000)
    expect("  RetryInfo, within a second", 0 < wait <= 1000, True)
    # grpcio treats the headers of a response without a body as trailers.
    metadata = {**dict(error.initial_metadata()), **dict(error.trailing_metadata())}
    expect("  grpc-retry-pushback-ms", metadata["grpc-retry-pushback-ms"], str(wait))
    expect("  ratelimit-policy", metadata["ratelimit-policy"], '"1/2:principal";q=2;w=2')
    expect("  ratelimit", metadata["ratelimit"], '"1/2:principal";r=0;t=1')


def check_retries(address, services, request, credentials):
    """Calls made at once by a client with a retry policy all pass, one each second."""
    config = {"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": POLICY}]}
    options = [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps(config))]
    with grpc.insecure_channel(address, options) as channel:
        get = services.OrderServiceStub(channel).GetOrder
        names = [(("x-request-id", f"call {number}"),) for number in range(AT_ONCE)]
        begun = [get.future(request, metadata=name + credentials, timeout=PATIENCE) for name in names]
        for call in begun:
            expect(f"{RETRIED}, with a retry policy", call.result(PATIENCE).id, request.id)


def check_log(log):
    """Each of those calls, as the server saw it: attempts that were refused, and one that passed."""
    attempts = collections.defaultdict(list)
    log.seek(0)
    for line in log:
        line = json.loads(line)
        if line.get("rpc.method") == f"{SERVICE}/{RETRIED}":
            before = line.get("rpc.request.metadata.grpc-previous-rpc-attempts", "0")
            seen = (int(before), line["rpc.response.status_code"], line.get("grpc.refused_by"))
            attempts[line["request_id"]].append(seen)
    expect("calls in the log", len(attempts), AT_ONCE)
    for name, seen in sorted(attempts.items()):
        *before, last = sorted(seen)
        too_many = [(number, "RESOURCE_EXHAUSTED", "ratelimit") for number in range(len(before))]
        expect(f"{name}, refused", before, too_many)
        expect(f"{name}, then", last, (len(before), "OK", None))
    expect("some came back", sum(map(len, attempts.values())) > AT_ONCE, True)


def main(orders):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        pb, services = generated(folder)
        tokens = Tokens(orders, folder)
        limits = [flag for limit in LIMITS for flag in ("--limit", limit)]
        with serving(orders, log, [*tokens.flags, *limits]) as (address, _):
            with grpc.insecure_channel(address) as channel:
                stub = services.OrderServiceStub(channel)
                ann = Caller(stub, pb, tokens.by_python(sub="ann"))
                for method, call in ann.of_each_kind().items():
                    check_told(method, refused(call))
                for begin in [ann.import_without_end, ann.quote_without_end]:
                    check_told(begin.__name__, refused_before_its_end(begin))
                bob = Caller(stub, pb, tokens.by_orders(READ, WRITE))
                for method, call in bob.of_each_kind().items():
                    expect(f"{method}, of another caller, passes", bool(call()), True)
                order = pb.GetOrderRequest(id=Caller(stub, pb, tokens.by_python()).create())
            check_retries(address, services, order, ann.how["metadata"])
        check_log(log)


if __name__ == "__main__":
    main(sys.argv[1])
