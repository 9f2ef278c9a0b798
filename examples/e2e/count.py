"""Counts its own calls, and compares with what `orders serve` logged and measured.

Mixed calls of all four kinds by Python's grpcio: good ones, wrong ones, panics, deadlines that pass,
streams that the caller leaves, methods that are not there, calls without a token that is good for them, and
more calls than their limits let pass.

Usage: count.py PATH_OF_ORDERS SECONDS
"""

import collections
import json
import random
import sys
import tempfile
import threading
import time
import urllib.request

import grpc
from harness import PATIENCE, bearer, error_info, expect, fault, generated, serving
from strict import samples
from tokens import READ, WRITE, Tokens

SERVICE = "orders.v1.OrderService"
CALLERS = 4

# The reasons for refusals, and the layers that refuse.
REFUSALS = {
    "CREDENTIALS_MISSING": "auth",
    "CREDENTIALS_MALFORMED": "auth",
    "TOKEN_INVALID": "auth",
    "TOKEN_EXPIRED": "auth",
    "SCOPE_INSUFFICIENT": "auth",
    "METHOD_UNKNOWN": "auth",
    "RATE_LIMITED": "ratelimit",
}

# The status codes of these refusals. The log leaves out most of their lines, and reports the count per reason.
CODES = {
    "CREDENTIALS_MISSING": "UNAUTHENTICATED",
    "CREDENTIALS_MALFORMED": "UNAUTHENTICATED",
    "TOKEN_INVALID": "UNAUTHENTICATED",
    "TOKEN_EXPIRED": "UNAUTHENTICATED",
    "SCOPE_INSUFFICIENT": "PERMISSION_DENIED",
    "METHOD_UNKNOWN": "UNIMPLEMENTED",
    "RATE_LIMITED": "RESOURCE_EXHAUSTED",
}

# Much lower than the callers' rate: for a method with one response, and for one with a stream of responses.
LIMITS = [
    "--limit",
    f"{SERVICE}/AdvanceOrder=1/5:principal",
    "--limit",
    f"{SERVICE}/QuoteOrders=5/5",
]


class Caller:
    """Makes calls one after the other, and counts how each ended."""

    def __init__(self, address, pb, services, tokens, seed):
        self.pb = pb
        self.random = random.Random(seed)
        self.counts, self.refused = collections.Counter(), collections.Counter()
        self.full = bearer(tokens.by_orders(READ, WRITE))
        self.reader = bearer(tokens.by_orders(READ))
        self.expired = bearer(tokens.by_python(exp=time.time() - 1))
        self.forged = bearer(tokens.by_python(key=b"x" * 32))
        # Each caller has its own connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(address, options)
        self.stub = services.OrderServiceStub(self.channel)
        self.id = self.stub.CreateOrder(self.order(), metadata=self.full, timeout=PATIENCE).id
        self.counted("CreateOrder", "OK")

    def order(self):
        cents = self.random.randrange(1, 10_000)
        return self.pb.CreateOrderRequest(
            customer_email="ann@example.org", total_cents=cents, currency="EUR"
        )

    def counted(self, method, code):
        self.counts[f"{SERVICE}/{method}", code] += 1

    def failed(self, method, error):
        self.counted(method, error.code().name)
        self.maybe_refused(f"{SERVICE}/{method}", error)

    def maybe_refused(self, name, error):
        reason = error_info(error).reason
        if reason in REFUSALS:
            self.refused[name, reason] += 1

    def run(self, until):
        kinds = [
            self.create,
            self.create_wrongly,
            self.get,
            self.get_nothing,
            self.get_with_panic,
            self.get_too_late,
            self.get_data_loss,
            self.list,
            self.list_with_panic,
            self.watch_and_leave,
            self.watch_too_late,
            self.import_orders,
            self.import_wrongly,
            self.quote,
            self.advance,
            self.unknown,
            self.without_token,
            self.with_bad_tokens,
            self.with_too_little,
        ]
        while time.monotonic() < until:
            for kind in self.random.sample(kinds, len(kinds)):
                kind()
        self.channel.close()

    def call(self, credentials=None, metadata=(), timeout=PATIENCE):
        """What goes with a call: it may do everything, unless it has other credentials."""
        credentials = self.full if credentials is None else credentials
        return {"metadata": (*metadata, *credentials), "timeout": timeout}

    def one(self, method, request, **how):
        call = self.call(**how)
        try:
            getattr(self.stub, method)(request, **call)
            self.counted(method, "OK")
        except grpc.RpcError as error:
            self.failed(method, error)

    def many(self, method, request, leave_after=None, **how):
        answers = getattr(self.stub, method)(request, **self.call(**how))
        try:
            for number, _ in enumerate(answers, 1):
                if number == leave_after:
                    answers.cancel()
            self.counted(method, "OK")
        except grpc.RpcError as error:
            self.failed(method, error)

    def create(self):
        self.one("CreateOrder", self.order())

    def create_wrongly(self):
        self.one("CreateOrder", self.pb.CreateOrderRequest())

    def get(self):
        self.one("GetOrder", self.pb.GetOrderRequest(id=self.id))

    def get_nothing(self):
        hostile = 'no such "order"\n\x1b[31m{"level":"ERROR"}\u2028'
        agent = (("x-request-id", 'a"b\\c'),)
        self.one("GetOrder", self.pb.GetOrderRequest(id=hostile), metadata=agent)

    def get_with_panic(self):
        self.one("GetOrder", self.pb.GetOrderRequest(id=self.id), metadata=fault("panic"))

    def get_too_late(self):
        late = {"timeout": 0.2, "metadata": fault("delay=5s")}
        self.one("GetOrder", self.pb.GetOrderRequest(id=self.id), **late)

    def get_data_loss(self):
        lost = fault("status=DATA_LOSS")
        self.one("GetOrder", self.pb.GetOrderRequest(id=self.id), metadata=lost)

    def page(self):
        return self.pb.ListOrdersRequest(customer_email="ann@example.org", page_size=3)

    def list(self):
        self.many("ListOrders", self.page())

    def list_with_panic(self):
        self.many("ListOrders", self.page(), metadata=fault("panic-after=1"))

    def watch_and_leave(self):
        self.many("WatchOrder", self.pb.WatchOrderRequest(id=self.id), leave_after=1)

    def watch_too_late(self):
        self.many("WatchOrder", self.pb.WatchOrderRequest(id=self.id), timeout=0.2)

    def import_orders(self):
        self.one("ImportOrders", iter([self.order(), self.order()]))

    def import_wrongly(self):
        self.one("ImportOrders", iter([self.order()]), metadata=fault("status=ABORTED"))

    def quote(self):
        quotes = (self.pb.QuoteRequest(reference="r", total_cents=1, currency="EUR"),) * 3
        self.many("QuoteOrders", iter(quotes))

    def advance(self):
        shipped = self.pb.ORDER_STAGE_SHIPPED
        self.one("AdvanceOrder", self.pb.AdvanceOrderRequest(id=self.id, stage=shipped))

    def unknown(self):
        path = f"/no.such.Service/Method{self.random.randrange(1_000_000)}"
        call = self.channel.unary_unary(path)
        try:
            call(b"", metadata=self.full, timeout=PATIENCE)
        except grpc.RpcError as error:
            self.counts["unknown", error.code().name] += 1
            self.maybe_refused("unknown", error)

    def of_every_kind(self, credentials):
        self.one("GetOrder", self.pb.GetOrderRequest(id=self.id), credentials=credentials)
        self.many("ListOrders", self.page(), credentials=credentials)
        self.one("ImportOrders", iter([self.order()]), credentials=credentials)
        self.many("QuoteOrders", iter([self.pb.QuoteRequest()]), credentials=credentials)

    def without_token(self):
        self.of_every_kind(())

    def with_bad_tokens(self):
        for bad in [self.expired, self.forged, bearer("garbage"), self.full * 2]:
            self.of_every_kind(bad)

    def with_too_little(self):
        self.one("CreateOrder", self.order(), credentials=self.reader)
        self.one("ImportOrders", iter([self.order()]), credentials=self.reader)


def go_name(code):
    """`NOT_FOUND` as Go, and so the metrics, spell it."""
    special = {"CANCELLED": "Canceled", "OK": "OK"}
    return special.get(code) or "".join(part.capitalize() for part in code.split("_"))


def in_go(counts):
    return collections.Counter({(name, go_name(code)): n for (name, code), n in counts.items()})


LEFT_OR_LATE = "left or late"


def left_or_late(counts):
    """With calls that their caller left and calls that were late as one.

    The caller's clock runs ahead of the server's by what a request takes to arrive. On a busy machine
    that is more than the 5 ms by which a call may be early: to the server, its caller left.
    """
    merged = collections.Counter()
    for (name, code), count in counts.items():
        merged[name, LEFT_OR_LATE if code in ("CANCELLED", "DEADLINE_EXCEEDED") else code] += count
    return merged


def scraped(metrics):
    with urllib.request.urlopen(metrics, timeout=PATIENCE) as answer:
        return samples(answer.read().decode())


def until_over(metrics):
    """The samples after the last call was over: a scrape is not one moment, so one more is taken."""
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < patience:
        found = scraped(metrics)
        if not any(found["grpc_server_in_flight"].values()):
            return scraped(metrics)
        time.sleep(0.05)
    sys.exit(f"still in flight: {found['grpc_server_in_flight']}")


def handled(found):
    counts = collections.Counter()
    for labels, value in found["grpc_server_handled_total"].items():
        labels = dict(labels)
        service, method = labels["grpc_service"], labels["grpc_method"]
        name = "unknown" if service == "unknown" else f"{service}/{method}"
        counts[name, labels["grpc_code"]] += int(value)
    return +counts


def refused(found):
    """The calls that were refused, by method and reason."""
    counts = collections.Counter()
    for labels, value in found["grpc_server_refused_total"].items():
        labels = dict(labels)
        if (labels["refused_by"], labels["shadow"]) != (REFUSALS.get(labels["reason"]), "false"):
            sys.exit(f"who has refused that? {labels}")
        service, method = labels["grpc_service"], labels["grpc_method"]
        name = "unknown" if service == "unknown" else f"{service}/{method}"
        counts[name, labels["reason"]] += int(value)
    return +counts


def decided(found):
    """What was decided, by result."""
    counts = collections.Counter()
    for labels, value in found["auth_decisions_total"].items():
        counts[dict(labels)["result"]] += int(value)
    return +counts


def logged(log):
    """The calls in the log by method and code, by what ended them, and by method and the reason of a
    refusal, those among them that have no line of their own; every line must be JSON."""
    counts, ended_by, refused_for = (collections.Counter() for _ in range(3))
    left_out = 0
    log.seek(0)
    for line in log:
        line = json.loads(line)
        name = line.get("rpc.method", "unknown")
        name = "unknown" if name.startswith("no.such.") else name
        if line["message"] == "refusals left out":
            reason, count = line["grpc.refused_reason"], line["grpc.refusals_left_out"]
            if line["grpc.refused_by"] != REFUSALS.get(reason):
                sys.exit(f"who has refused that? {line}")
            counts[name, CODES[reason]] += count
            ended_by["refusal"] += count
            refused_for[name, reason] += count
            left_out += count
        if line["message"] != "finished call":
            continue
        counts[name, line["rpc.response.status_code"]] += 1
        ended_by[line["grpc.ended_by"]] += 1
        if refused_by := line.get("grpc.refused_by"):
            reason = line["grpc.refused_reason"]
            if refused_by != REFUSALS.get(reason):
                sys.exit(f"who has refused that? {line}")
            refused_for[name, reason] += 1
    print(f"lines of refusals that the log left out, and counted: {left_out}")
    if not left_out:
        sys.exit("so many refusals should not all have a line")
    return counts, ended_by, refused_for


def total(found, name):
    return int(sum(found[name].values()))


def of_code(counts, code):
    return sum(count for (_, other), count in counts.items() if other == code)


def compare(what, seen, expected, never_arrived=None):
    """Ends the program if they differ; a call that was given up before it arrived was not seen."""
    print(f"{what}: {sum(seen.values())} calls")
    for key in {*seen, *expected}:
        missing = expected[key] - seen[key]
        if key[1] == never_arrived and missing > 0:
            print(f"  given up before they arrived: {key[0]}, {missing}")
        elif missing:
            sys.exit(f"{key}: {seen[key]} were seen, {expected[key]} expected")


def main(orders, seconds):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        pb, services = generated(folder)
        tokens = Tokens(orders, folder)
        with serving(orders, log, [*tokens.flags, *LIMITS]) as (address, metrics):
            callers = [Caller(address, pb, services, tokens, seed) for seed in range(CALLERS)]
            until = time.monotonic() + seconds
            threads = [threading.Thread(target=caller.run, args=[until]) for caller in callers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found = until_over(metrics)
        counts = sum((caller.counts for caller in callers), collections.Counter())
        for (method, code), count in sorted(counts.items()):
            print(f"  {method} {code}: {count}")
        print(f"the client: {sum(counts.values())} calls in {seconds} s")
        lines, ended_by, refused_for = logged(log)
        compare("the log", left_or_late(lines), left_or_late(counts), never_arrived=LEFT_OR_LATE)
        compare("the metrics", handled(found), in_go(lines))
        expect("started", total(found, "grpc_server_started_total"), sum(lines.values()))
        panics = of_code(counts, "INTERNAL")
        expect("panics in the metrics", total(found, "grpc_server_panics_total"), panics)
        expect("ended by a panic, in the log", ended_by["panic"], panics)
        expect("by the caller", ended_by["caller"], of_code(lines, "CANCELLED"))
        expect("by the deadline", ended_by["deadline"], of_code(lines, "DEADLINE_EXCEEDED"))
        refusals = sum((caller.refused for caller in callers), collections.Counter())
        reasons = collections.Counter()
        for (_, reason), count in refusals.items():
            reasons[reason] += count
        expect("reasons of refusals", sorted(reasons), sorted(REFUSALS))
        compare("refusals in the log", refused_for, refusals)
        compare("refusals in the metrics", refused(found), refusals)
        expect("ended by a refusal, in the log", ended_by["refusal"], sum(refusals.values()))
        decisions = decided(found)
        by_auth = {reason: count for reason, count in reasons.items() if REFUSALS[reason] == "auth"}
        passed = sum(lines.values()) - sum(by_auth.values())
        expect("let through by auth, in the metrics", decisions.pop("passed"), passed)
        expect("not let through by auth, in the metrics", decisions, by_auth)
        early = of_code(counts, "DEADLINE_EXCEEDED") - ended_by["deadline"]
        print(f"late to the caller, left to the server: {early}")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
