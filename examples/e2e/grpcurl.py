"""grpcurl: by reflection, without the protos. Lists, describes and calls, and prints the details of an error.

Usage: grpcurl.py ADDRESS GRPCURL, a path whose folder is named by the version
"""

import json
import pathlib
import re
import subprocess
import sys

from report import Report

METHOD = "orders.v1.OrderService"
SECOND = "orders.v2.OrderService"


def main(address, grpcurl):
    report = Report(f"grpcurl {pathlib.Path(grpcurl).parent.name}")

    def run(*arguments, data=""):
        """The exit status, the output, and the errors. A code of gRPC is the exit status less 64."""
        command = [grpcurl, "-plaintext", "-max-time", "20", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    status, listed, _ = run(address, "list")
    services = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", METHOD, SECOND]
    report.expect("the services", [status, *(name for name in services if name in listed.split())], [0, *services])
    for service in (METHOD, SECOND):
        status, described, _ = run(address, "describe", service)
        report.expect(f"the methods of {service}", [status, len(re.findall(r"\brpc ", described))], [0, 7])

    def call(method, *requests, headers=(), service=METHOD):
        flags = [flag for header in headers for flag in ("-H", header)]
        data = "".join(map(json.dumps, requests))
        status, output, errors = run(*flags, "-d", "@", address, f"{service}/{method}", data=data)
        # Several objects, one after another.
        decoder, responses, rest = json.JSONDecoder(), [], output.strip()
        while rest:
            response, end = decoder.raw_decode(rest)
            responses.append(response)
            rest = rest[end:].lstrip()
        code = re.search(r"^\s*Code: (\w+)", errors, re.M)
        report.code(code[1] if code else "OK")
        return status, responses, errors

    new = {"customerEmail": "ann@example.org", "totalCents": "42", "currency": "EUR"}
    status, [order], _ = call("CreateOrder", new)
    report.expect("a new order", [status, order["totalCents"]], [0, "42"])
    status, [read], _ = call("GetOrder", {"id": order["id"]})
    report.expect("the order", [status, read], [0, order])
    status, [second], _ = call("GetOrder", {"orderId": order["id"]}, service=SECOND)
    total = {"currencyCode": "EUR", "nanos": 420000000}
    report.expect("the order in the second version", [status, second["order"]["total"]], [0, total])
    status, listed, _ = call("ListOrders", {"customerEmail": "ann@example.org"})
    report.expect("the list", [status, listed], [0, [order]])
    status, [imported], _ = call("ImportOrders", new, {**new, "customerEmail": ""}, new)
    report.expect("the import", [status, imported["created"], imported["rejected"]], [0, "2", "1"])
    status, quotes, _ = call("QuoteOrders", *({"reference": f"{n}", "totalCents": "1", "currency": "EUR"} for n in range(3)))
    report.expect("the quotes", [status, *(quote["reference"] for quote in quotes)], [0, "0", "1", "2"])

    status, _, errors = call("CreateOrder", {"customerEmail": "nobody"})
    seen = [name for name in ("BadRequest", "customer_email", "currency") if name in errors]
    report.expect("invalid fields", [status, *seen], [64 + 3, "BadRequest", "customer_email", "currency"])
    status, _, errors = call("GetOrder", {"id": "no such order"})
    report.expect("a missing order", [status, '"reason": "ORDER_NOT_FOUND"' in errors], [64 + 5, True])
    status, _, errors = call("GetOrder", {"id": "any"}, headers=["x-fault: panic"])
    report.expect("a panic", [status, "Message: internal error" in errors], [64 + 13, True])
    report.done()


if __name__ == "__main__":
    main(*sys.argv[1:])
