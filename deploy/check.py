"""Makes calls, and checks what Prometheus and the collector know of them."""

import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).resolve().parents[1] / "metrics-layer" / "grafana" / "grpc.json"
PATIENCE = 60
VARIABLES = re.compile(r"\$(namespace|job|pod|instance|service|method)\b")

ORDER = ["--customer-email", "ann@example.org", "--total-cents", "4200", "--currency", "EUR"]
# What is called, with which flags, and how each call ends.
CALLS = [
    (["create-order", *ORDER], [], "OK"),
    (["list-orders"], [], "OK"),
    (["get-order", "--id", "no-such-order"], [], "NOT_FOUND"),
    (["get-order", "--id", "no-such-order"], ["-H", "x-fault=panic"], "INTERNAL"),
    (["list-orders"], ["--no-token"], "UNAUTHENTICATED"),
]
REPEAT = 8  # each of them
ALL = REPEAT * len(CALLS)


def call(orders, key, ports):
    """Calls both servers in turn, in each way."""
    to = [word for number in (1, 2) for word in ("--to", f"http://{ports.of(f'orders-{number}:50051')}")]
    for method, flags, code in CALLS:
        token = [] if "--no-token" in flags else ["--dev-key", str(key)]
        command = [orders, "call", *to, *token, *flags, "--repeat", str(REPEAT), *method]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        expected = f"{REPEAT} calls: {REPEAT} {code}"
        if expected not in done.stderr:
            sys.exit(f"{' '.join(command)}: expected `{expected}`:\n{done.stderr}")
        print(f"{method[0]} {' '.join(flags)}: {REPEAT} {code}", flush=True)


def api(ports, path, **parameters):
    url = f"http://{ports.of('prometheus:9090')}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


def query(ports, expression):
    """The values of an expression."""
    return [float(series["value"][1]) for series in api(ports, "query", query=expression)["result"]]


def until(ports, what, expression, expected):
    """Waits until an expression has these values."""
    end = time.monotonic() + PATIENCE
    while (seen := query(ports, expression)) != expected:
        if time.monotonic() > end:
            sys.exit(f"{what}: {seen}, expected {expected}: {expression}")
        time.sleep(0.2)
    print(f"{what}: {seen[0]:.0f}", flush=True)


def panels():
    """The title and the queries of each panel for servers, as Grafana sends them."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "5m")
            yield panel["title"], VARIABLES.sub(".*", expression)


def check(orders, key, ports):
    until(ports, "targets of orders that are up", 'sum(up{job="orders"})', [2])
    until(ports, "collectors that are up", 'sum(up{job="collector"})', [1])
    call(orders, key, ports)

    of_orders = '{job="orders", grpc_service="orders.v1.OrderService"}'
    until(ports, "calls that Prometheus knows", f"sum(grpc_server_handled_total{of_orders})", [ALL])
    each = f"count(sum by (instance) (grpc_server_handled_total{of_orders}) == {ALL // 2})"
    until(ports, "servers that have half of them", each, [2])

    spans = 'sum({job="collector", __name__=~"otelcol_receiver_accepted_spans(_total)?"})'
    until(ports, "spans that the collector received", spans, [ALL])

    empty = [title for title, expression in panels() if not query(ports, expression)]
    if empty:
        sys.exit(f"panels without data: {', '.join(empty)}")
    print(f"panels with data: {len(list(panels()))}")

    rules = [rule["name"] for group in api(ports, "rules")["groups"] for rule in group["rules"]]
    if "GrpcErrorBudgetBurnFast" not in rules:
        sys.exit(f"the alert rules are not loaded: {rules}")
    print(f"rules: {len(rules)}", flush=True)
