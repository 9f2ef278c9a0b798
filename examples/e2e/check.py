"""Calls `orders serve --faults` with Python's grpcio, a gRPC client nobody here wrote.

Usage: check.py PATH_OF_ORDERS
"""

import subprocess
import sys
import tempfile

import grpc
from harness import PATIENCE, expect, fault, generated, serving


def outcome(call):
    """How a call ended: what it gave, or its code and text."""
    try:
        return call()
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()!r}"


def stream(call):
    """How many messages a stream gave, and how it ended."""
    count = 0
    try:
        for _ in call:
            count += 1
        return f"{count} messages, then OK"
    except grpc.RpcError as error:
        return f"{count} messages, then {error.code().name} {error.details()!r}"


def check(stub, pb):
    """Panics in calls of every kind, and after each of them a call that answers normally."""
    new = [
        pb.CreateOrderRequest(customer_email="ann@example.org", total_cents=cents, currency="EUR")
        for cents in range(1, 5)
    ]
    quotes = [pb.QuoteRequest(reference=str(n), total_cents=n, currency="EUR") for n in range(4)]
    ids = [stub.CreateOrder(order, timeout=PATIENCE).id for order in new]
    get = pb.GetOrderRequest(id=ids[0])

    def get_order(metadata=None):
        return stub.GetOrder(get, metadata=metadata, timeout=PATIENCE).id

    def import_orders(metadata=None):
        return stub.ImportOrders(iter(new), metadata=metadata, timeout=PATIENCE).created

    def list_orders(metadata=None):
        page = pb.ListOrdersRequest(customer_email="ann@example.org", page_size=4)
        return stub.ListOrders(page, metadata=metadata, timeout=PATIENCE)

    def watch_order(metadata):
        watched = pb.WatchOrderRequest(id=ids[0])
        return stub.WatchOrder(watched, metadata=metadata, timeout=PATIENCE)

    def quote_orders(metadata=None):
        return stub.QuoteOrders(iter(quotes), metadata=metadata, timeout=PATIENCE)

    def still_works():
        expect("  the next call on the channel", outcome(get_order), ids[0])

    internal = "INTERNAL 'internal error'"
    for name, call, well in [("GetOrder", get_order, ids[0]), ("ImportOrders", import_orders, 4)]:
        expect(name, outcome(call), well)
        expect(f"{name}, panic", outcome(lambda: call(fault("panic"))), internal)
        still_works()
    for name, call in [("ListOrders", list_orders), ("QuoteOrders", quote_orders)]:
        expect(name, stream(call()), "4 messages, then OK")
        expect(f"{name}, panic", stream(call(fault("panic"))), f"0 messages, then {internal}")
        still_works()
        panics = stream(call(fault("panic-after=2")))
        expect(f"{name}, panic-after=2", panics, f"2 messages, then {internal}")
        still_works()
    panics = stream(watch_order(fault("panic-after=1")))
    expect("WatchOrder, panic-after=1", panics, f"1 messages, then {internal}")
    still_works()

    refused = outcome(lambda: get_order(fault("status=UNAVAILABLE")))
    expect("GetOrder, status=UNAVAILABLE", refused.split()[0], "UNAVAILABLE")
    watched = watch_order(None)
    expect("WatchOrder", next(watched).event_type, "created")
    watched.cancel()
    expect("WatchOrder, cancelled", stream(watched).split()[3], "CANCELLED")
    still_works()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, serving(sys.argv[1], subprocess.DEVNULL) as (address, _):
        pb, services = generated(folder)
        with grpc.insecure_channel(address) as channel:
            check(services.OrderServiceStub(channel), pb)
