"""ghz: many calls at once, over several connections, by reflection.

Usage: ghz.py ADDRESS GHZ, a path whose folder is named by the version
"""

import json
import pathlib
import subprocess
import sys

from report import Report

CALLS = 2000


def main(address, ghz):
    report = Report(f"ghz {pathlib.Path(ghz).parent.name}")
    cases = [
        ("CreateOrder", {"customer_email": "ann@example.org", "total_cents": 1, "currency": "EUR"}, {}, "OK"),
        ("ListOrders", {"customer_email": "ann@example.org", "page_size": 10}, {}, "OK"),
        ("GetOrder", {"id": "no such order"}, {}, "NotFound"),
        ("GetOrder", {"id": "any"}, {"x-fault": "status=RESOURCE_EXHAUSTED"}, "ResourceExhausted"),
    ]
    fastest = 0
    for method, data, metadata, code in cases:
        command = [ghz, "--insecure", "--format", "json", "--call", f"orders.v1.OrderService.{method}"]
        command += ["--total", str(CALLS), "--concurrency", "20", "--connections", "4", "--timeout", "20s"]
        command += ["--data", json.dumps(data), "--metadata", json.dumps(metadata), address]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        result = json.loads(done.stdout)
        report.expect(f"{method}, the codes", result["statusCodeDistribution"], {code: CALLS})
        report.code(code, CALLS)
        fastest = max(fastest, result["rps"])
    report.done(more=f"up to {fastest:.0f} calls per second of a debug build")


if __name__ == "__main__":
    main(*sys.argv[1:])
