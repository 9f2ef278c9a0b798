"""A server for one client, and the calls that the server counted."""

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request

from install import ORDERS

PATIENCE = 60  # seconds that a drain may take


@contextlib.contextmanager
def serving(page_port):
    """The addresses of a server with faults, and of its metrics; drained at the end. Pages of that port may call it."""
    free = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--db", ":memory:"]
    flags = ["--faults", "--auth", "off", "--log", "json", "--cors", f"http://127.0.0.1:{page_port}"]
    environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(
        [ORDERS, "serve", *free, *flags], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
    ) as server:
        try:
            address = server.stdout.readline().removeprefix("listening on ").strip()
            yield address, server.stdout.readline().removeprefix("metrics on ").strip()
            server.send_signal(signal.SIGINT)
            if server.wait(PATIENCE) != 0:
                log.seek(0)
                sys.exit(f"the server's exit status is {server.returncode}: {log.read()[-2000:]}")
        finally:
            server.kill()


def name_of(code):
    """A code's name, as every client and the metrics can be compared."""
    code = code.replace("_", "").lower()
    return {"canceled": "cancelled"}.get(code, code)


def counted(metrics):
    """The calls by code that have ended, by the metrics; reflection's streams are counted apart."""
    codes, reflection = collections.Counter(), 0
    with urllib.request.urlopen(metrics) as response:
        for line in response.read().decode().splitlines():
            found = re.match(r"grpc_server_handled_total\{(.*)\} (\d+)", line)
            if not found:
                continue
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
            if "reflection" in labels["grpc_service"]:
                reflection += int(found[2])
            else:
                codes[name_of(labels["grpc_code"])] += int(found[2])
    return {code: count for code, count in codes.items() if count}, reflection
