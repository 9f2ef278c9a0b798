"""Calls `orders serve` by Python's grpcio with tokens and without: who is let in, and what is told to others.

Usage: auth.py PATH_OF_ORDERS
"""

import subprocess
import sys
import tempfile
import time

import grpc
from harness import PATIENCE, bearer, error_info, expect, generated, serving
from tokens import READ, WRITE, Tokens

NEEDS = {
    "CreateOrder": WRITE,
    "GetOrder": READ,
    "ListOrders": READ,
    "WatchOrder": READ,
    "AdvanceOrder": WRITE,
    "ImportOrders": WRITE,
    "QuoteOrders": READ,
}

CHALLENGE = 'Bearer realm="orders"'


def methods(stub, pb, full):
    """Each method, as a function of metadata that gives how many messages were answered."""
    order = pb.CreateOrderRequest(customer_email="ann@example.org", total_cents=1, currency="EUR")
    shipped = pb.ORDER_STAGE_SHIPPED
    quote = pb.QuoteRequest(reference="r", total_cents=1, currency="EUR")

    def new():
        return stub.CreateOrder(order, metadata=full, timeout=PATIENCE).id

    def unary(method, request):
        def call(metadata):
            getattr(stub, method)(request(), metadata=metadata, timeout=PATIENCE)
            return 1

        return call

    def stream(method, request):
        def call(metadata):
            answers = getattr(stub, method)(request(), metadata=metadata, timeout=PATIENCE)
            return sum(1 for _ in answers)

        return call

    def watch(metadata):
        watched = pb.WatchOrderRequest(id=new())
        answers = stub.WatchOrder(watched, metadata=metadata, timeout=PATIENCE)
        next(answers)
        answers.cancel()
        return 1

    return {
        "CreateOrder": unary("CreateOrder", lambda: order),
        "GetOrder": unary("GetOrder", lambda: pb.GetOrderRequest(id=new())),
        "ListOrders": stream("ListOrders", lambda: pb.ListOrdersRequest(page_size=1)),
        "WatchOrder": watch,
        "AdvanceOrder": unary("AdvanceOrder", lambda: pb.AdvanceOrderRequest(id=new(), stage=shipped)),
        "ImportOrders": unary("ImportOrders", lambda: iter([order, order])),
        "QuoteOrders": stream("QuoteOrders", lambda: iter([quote])),
    }


def outcome(call, metadata):
    """How many messages there were; or the code, the reason, and the challenge of a refusal."""
    try:
        return call(metadata)
    except grpc.RpcError as error:
        info = error_info(error)
        if info.domain != "orders.v1":
            sys.exit(f"no ErrorInfo of orders.v1: {error}")
        challenge = dict(error.trailing_metadata()).get("www-authenticate")
        return f"{error.code().name} {info.reason} {challenge}"


def bad(tokens):
    """What is no good token, as metadata, and how it is refused."""
    good = tokens.by_python()
    missing = f"UNAUTHENTICATED CREDENTIALS_MISSING {CHALLENGE}"
    malformed = f'UNAUTHENTICATED CREDENTIALS_MALFORMED {CHALLENGE}, error="invalid_request"'
    invalid = f'UNAUTHENTICATED TOKEN_INVALID {CHALLENGE}, error="invalid_token"'
    expired = f'UNAUTHENTICATED TOKEN_EXPIRED {CHALLENGE}, error="invalid_token"'
    hour = 3600
    made = [
        ("expired", expired, {"exp": time.time() - 1}),
        ("not valid yet", invalid, {"nbf": time.time() + hour}),
        ("that never expires", invalid, {"exp": None}),
        ("that lives for a year", invalid, {"exp": time.time() + 366 * 24 * hour}),
        ("that lives for ages", invalid, {"exp": 1e300}),
        ("for somebody else", invalid, {"aud": "billing"}),
        ("for nobody", invalid, {"aud": None}),
        ("of somebody else", invalid, {"iss": "https://id.example"}),
        ("by another secret", invalid, {"key": b"x" * 32}),
        ("by another algorithm", invalid, {"algorithm": "HS512"}),
        ("by none", invalid, {"algorithm": "none", "key": ""}),
    ]
    yield "nothing", missing, None
    yield "a password", missing, (("authorization", "Basic YW5uOnNlY3JldA=="),)
    yield "garbage", invalid, bearer("garbage")
    yield "two tokens", malformed, bearer(good) * 2
    for name, refused, claims in made:
        yield f"a token {name}", refused, bearer(tokens.by_python(**claims))


def main(orders):
    with tempfile.TemporaryDirectory() as folder:
        pb, services = generated(folder)
        tokens = Tokens(orders, folder)
        with serving(orders, subprocess.DEVNULL, tokens.flags) as (address, _):
            with grpc.insecure_channel(address) as channel:
                full = bearer(tokens.by_orders(READ, WRITE))
                check(tokens, methods(services.OrderServiceStub(channel), pb, full))


def check(tokens, calls):
    expect("the methods", sorted(calls), sorted(NEEDS))
    claims = tokens.read(tokens.by_orders(READ, WRITE))
    expect("the scopes, to PyJWT", claims["scope"], f"{READ} {WRITE}")
    for name, token in [
        ("orders token", tokens.by_orders(READ, WRITE)),
        ("PyJWT", tokens.by_python()),
        ("PyJWT, scp", tokens.by_python(scope=None, scp=[READ, WRITE])),
    ]:
        for method, call in calls.items():
            expect(f"{method}, {name}", outcome(call, bearer(token)), 1)
    for scope in [READ, WRITE]:
        for token in [tokens.by_orders(scope), tokens.by_python(scope=scope)]:
            for method, call in calls.items():
                needed = NEEDS[method]
                error = f'error="insufficient_scope", scope="{needed}"'
                refused = f"PERMISSION_DENIED SCOPE_INSUFFICIENT {CHALLENGE}, {error}"
                seen = outcome(call, bearer(token))
                expect(f"{method}, {scope}", seen, 1 if scope == needed else refused)
    for name, refused, metadata in bad(tokens):
        for method, call in calls.items():
            expect(f"{method}, {name}", outcome(call, metadata), refused)


if __name__ == "__main__":
    main(sys.argv[1])
