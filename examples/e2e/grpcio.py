"""Python's grpcio: calls of all kinds, metadata, deadlines, cancellation, panics, error details by grpcio-status, and
health by grpcio-health-checking.

Usage: grpcio.py ADDRESS, with the messages and stubs of `orders.v1` in the path of modules
"""

import sys

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from orders.v1 import orders_pb2 as pb
from orders.v1 import orders_pb2_grpc

from report import Report

PATIENCE = 20  # seconds
MISSING = "no such order"

report = Report(f"grpcio {grpc.__version__}")
expect = report.expect


def new(cents, email="ann@example.org"):
    return pb.CreateOrderRequest(customer_email=email, total_cents=cents, currency="EUR")


def ok(call):
    """What a call gives that ends OK."""
    given = call()
    report.code("OK")
    return given


def failed(call):
    """How a call failed: its code, and its details by type."""
    try:
        for _ in [call()] if not hasattr(call, "__next__") else call:
            pass
    except grpc.RpcError as error:
        report.code(error.code().name)
        status = rpc_status.from_call(error)
        details = {}
        for detail in status.details if status else []:
            for kind in error_details_pb2.BadRequest, error_details_pb2.ErrorInfo:
                if detail.Is(kind.DESCRIPTOR):
                    details[kind.DESCRIPTOR.name] = kind()
                    detail.Unpack(details[kind.DESCRIPTOR.name])
        return error.code().name, details, error
    sys.exit("a call that must fail was OK")


def stream(call):
    """How many messages a stream gave, and its code."""
    count = 0
    try:
        for _ in call:
            count += 1
        code = call.code().name
    except grpc.RpcError as error:
        code = error.code().name
    report.code(code)
    return count, code


def main(address):
    with grpc.insecure_channel(address) as channel:
        stub = orders_pb2_grpc.OrderServiceStub(channel)
        kinds(stub)
        metadata(stub)
        details(stub)
        endings(stub)
        health(channel)
    report.done()


def kinds(stub):
    ids = [ok(lambda: stub.CreateOrder(new(cents), timeout=PATIENCE)).id for cents in (1, 2, 3)]
    order = ok(lambda: stub.GetOrder(pb.GetOrderRequest(id=ids[0]), timeout=PATIENCE))
    expect("the order", (order.customer_email, order.total_cents), ("ann@example.org", 1))
    page = pb.ListOrdersRequest(customer_email="ann@example.org")
    expect("the list", stream(stub.ListOrders(page, timeout=PATIENCE)), (3, "OK"))
    requests = iter([new(4), new(5, ""), new(6)])
    imported = ok(lambda: stub.ImportOrders(requests, timeout=PATIENCE))
    expect("the import", (imported.created, imported.rejected), (2, 1))
    quotes = [pb.QuoteRequest(reference=str(number), total_cents=1, currency="EUR") for number in range(4)]
    expect("the quotes", stream(stub.QuoteOrders(iter(quotes), timeout=PATIENCE)), (4, "OK"))


def metadata(stub):
    """A header of the response."""
    page = pb.ListOrdersRequest(customer_email="ann@example.org", page_size=2)
    call = stub.ListOrders(page, timeout=PATIENCE)
    token = dict(call.initial_metadata()).get("next-page-token")
    expect("the page", stream(call), (2, "OK"))
    rest = pb.ListOrdersRequest(customer_email="ann@example.org", page_size=10, page_token=token)
    expect("the rest", stream(stub.ListOrders(rest, timeout=PATIENCE)), (3, "OK"))


def details(stub):
    code, seen, _ = failed(lambda: stub.CreateOrder(new(-1, "nobody"), timeout=PATIENCE))
    fields = [violation.field for violation in seen["BadRequest"].field_violations]
    expect("invalid fields", (code, fields), ("INVALID_ARGUMENT", ["customer_email", "total_cents"]))
    code, seen, _ = failed(lambda: stub.GetOrder(pb.GetOrderRequest(id=MISSING), timeout=PATIENCE))
    info = seen["ErrorInfo"]
    expect("a missing order", (code, info.reason, info.domain), ("NOT_FOUND", "ORDER_NOT_FOUND", "orders.v1"))
    watch = stub.WatchOrder(pb.WatchOrderRequest(id=MISSING), timeout=PATIENCE)
    code, seen, _ = failed(watch)
    expect("its watch", (code, seen["ErrorInfo"].reason), ("NOT_FOUND", "ORDER_NOT_FOUND"))


def endings(stub):
    get, every = pb.GetOrderRequest(id="any"), pb.ListOrdersRequest()
    late = [("x-fault", "delay=10s")]
    expect("a deadline", failed(lambda: stub.GetOrder(get, metadata=late, timeout=0.2))[0], "DEADLINE_EXCEEDED")
    expect("a stream's deadline", stream(stub.ListOrders(every, metadata=late, timeout=0.2)), (0, "DEADLINE_EXCEEDED"))
    panic = [("x-fault", "panic")]
    expect("a panic", failed(lambda: stub.GetOrder(get, metadata=panic, timeout=PATIENCE))[0], "INTERNAL")
    panic = [("x-fault", "panic-after=2")]
    expect("a panic in a stream", stream(stub.ListOrders(every, metadata=panic, timeout=PATIENCE)), (2, "INTERNAL"))
    order = ok(lambda: stub.CreateOrder(new(7), timeout=PATIENCE))
    watch = stub.WatchOrder(pb.WatchOrderRequest(id=order.id), timeout=PATIENCE)
    expect("the watch", next(watch).event_type, "created")
    watch.cancel()
    expect("the watch, cancelled", stream(watch), (0, "CANCELLED"))


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    service = health_pb2.HealthCheckRequest(service="orders.v1.OrderService")
    status = ok(lambda: stub.Check(service, timeout=PATIENCE)).status
    expect("health", status, health_pb2.HealthCheckResponse.SERVING)
    unknown = health_pb2.HealthCheckRequest(service="no.such.Service")
    expect("health of another service", failed(lambda: stub.Check(unknown, timeout=PATIENCE))[0], "NOT_FOUND")
    watch = stub.Watch(service, timeout=PATIENCE)
    expect("health's watch", next(watch).status, health_pb2.HealthCheckResponse.SERVING)
    watch.cancel()
    expect("health's watch, cancelled", stream(watch), (0, "CANCELLED"))


if __name__ == "__main__":
    main(*sys.argv[1:])
