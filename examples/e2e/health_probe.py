"""grpc-health-probe, as Kubernetes calls it: by its exit status.

Usage: health_probe.py ADDRESS GRPC_HEALTH_PROBE, a path whose folder is named by the version
"""

import pathlib
import subprocess
import sys

from report import Report

# Exit statuses of the program.
NO_CONNECTION = 2
FAILED = 3


def main(address, probe):
    report = Report(f"grpc-health-probe {pathlib.Path(probe).parent.name}")

    def check(*flags, at=address):
        command = [probe, f"-addr={at}", "-connect-timeout=2s", "-rpc-timeout=10s", *flags]
        return subprocess.run(command, capture_output=True).returncode

    report.expect("the server", check(), 0)
    for version in ("v1", "v2"):
        report.expect(f"the service of {version}", check(f"-service=orders.{version}.OrderService"), 0)
    report.code("OK", 3)
    report.expect("another service", check("-service=no.such.Service"), FAILED)
    report.code("NOT_FOUND")
    # A port of loopback that nobody listens on.
    report.expect("no server", check(at="127.0.0.1:1"), NO_CONNECTION)
    report.done()


if __name__ == "__main__":
    main(*sys.argv[1:])
