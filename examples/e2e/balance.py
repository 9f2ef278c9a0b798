"""Servers of Python's grpcio, called by `orders call`: an idle watch of two minutes, and calls over several servers
of which one is killed and one is drained.

Usage: balance.py idle PATH_OF_ORDERS [SECONDS]
       balance.py spread PATH_OF_ORDERS
"""

import collections
import contextlib
import itertools
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from harness import PATIENCE, ROOT, expect, generated

CONFIG = ROOT / "call" / "tests" / "service_config" / "orders.json"
CALLS = 3000
DRAIN_SECONDS = 10


def serve():
    """A server with default settings. Prints its port; for each call, prints `call`; `drain` on standard input
    drains it."""
    with tempfile.TemporaryDirectory() as folder:
        pb, services = generated(folder)

    class Orders(services.OrderServiceServicer):
        def GetOrder(self, request, context):
            print("call", flush=True)
            return pb.Order(id=request.id, currency="EUR")

        def WatchOrder(self, request, context):
            yield pb.OrderEvent(id=request.id, event_type="created")
            ended = threading.Event()
            context.add_callback(ended.set)
            ended.wait()

    server = grpc.server(futures.ThreadPoolExecutor(8))
    services.add_OrderServiceServicer_to_server(Orders(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    for line in sys.stdin:
        if line == "drain\n":
            # GOAWAY, and the calls that run have time to end.
            server.stop(DRAIN_SECONDS).wait()
            print("drained", flush=True)
            return


class Server:
    """A server in a process of its own, so that it can be killed, and the calls that it has got."""

    def __init__(self, environment=None):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, **(environment or {})}
        command = [sys.executable, __file__, "serve"]
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.log, self.lines = [], collections.Counter()
        self.address = f"127.0.0.1:{int(self.process.stdout.readline())}"
        self.readers = [
            threading.Thread(target=lambda: self.lines.update(map(str.strip, self.process.stdout))),
            threading.Thread(target=lambda: self.log.extend(self.process.stderr)),
        ]
        for reader in self.readers:
            reader.start()

    @property
    def calls(self):
        return self.lines["call"]

    def drain(self):
        self.process.stdin.write("drain\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)


@contextlib.contextmanager
def servers(count, environment=None):
    started = [Server(environment) for _ in range(count)]
    try:
        yield started
    finally:
        for server in started:
            server.kill()


def read_line(process, seconds):
    """One line of standard output, or nothing within this time."""
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    return process.stdout.readline() if ready else None


def idle(orders, seconds="120"):
    """A watch without events, with the default settings of both sides."""
    seconds = float(seconds)
    with servers(1, {"GRPC_TRACE": "http", "GRPC_VERBOSITY": "debug"}) as [server]:
        command = [orders, "call", "-v", "--to", server.address, "watch-order", "--id", "x"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as watch:
            try:
                first = read_line(watch, PATIENCE) or ""
                # If the watch ends, there is a line: an empty one.
                second = read_line(watch, seconds)
                # Before the end, since a server sends GOAWAY when a client is gone.
                trace = "".join(server.log)
            finally:
                watch.terminate()
                log = watch.stderr.read()
        print(log)
        expect("idle watch, the first event", '"eventType":"created"' in first, True)
        expect(f"idle watch, output within {seconds:g} s", second, None)
        # That the server writes its trace is part of what is checked.
        expect("idle watch, SETTINGS in the trace of the server", "SETTINGS" in trace.upper(), True)
        pings = len(re.findall(r"(?i)too_many_pings|goaway", trace))
        expect("idle watch, GOAWAY in the trace of the server", pings, 0)
        states = re.findall(r'connection state changed .* state="([A-Z_]+)"', log)
        expect("idle watch, states in the log of the client", states, ["READY"])


def get_orders(orders, to, calls, *flags):
    """`orders call --repeat`, in the background."""
    urls = itertools.chain.from_iterable(("--to", server.address) for server in to)
    command = [orders, "call", *urls, "--repeat", str(calls), *flags, "get-order", "--id", "x"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **pipes)


def summary(process):
    """The counts of each address, and the last line."""
    _, log = process.communicate(timeout=120)
    *lines, last = log.splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line), last


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit("waited in vain")
        time.sleep(0.001)


def spread(orders):
    """Calls over two and three servers, by the service config of gRPC's guides."""
    for count in (2, 3):
        with servers(count) as all_servers:
            by_address, last = summary(get_orders(orders, all_servers, 1000))
            expect(f"{count} servers", last, "1000 calls: 1000 OK")
            for server in all_servers:
                server.kill()
            calls = [server.calls for server in all_servers]
            print("  calls at the servers:", calls)
            expect("  the counts differ by at most one", max(calls) - min(calls) <= 1, True)
            at_servers = {server.address: f"{server.calls} OK" for server in all_servers}
            expect("  the summary has the same counts", by_address == at_servers, True)

    for what, stop in (("killed", Server.kill), ("drained", Server.drain)):
        with servers(3) as all_servers:
            one, *others = all_servers
            process = get_orders(orders, all_servers, CALLS, "--service-config", str(CONFIG))
            wait_until(lambda: one.calls >= 200)
            stop(one)
            by_address, last = summary(process)
            expect(f"3 servers, one is {what}", last, f"{CALLS} calls: {CALLS} OK")
            if what == "drained":
                wait_until(lambda: one.lines["drained"] == 1)
            for server in all_servers:
                server.kill()
            calls = [server.calls for server in all_servers]
            print("  calls at the servers:", calls, by_address)
            expect(f"  the one that is {what} had calls until then", 200 <= calls[0] < CALLS // 3, True)
            expect("  the others differ by at most one", abs(calls[1] - calls[2]) <= 1, True)
            # A call that the killed server got may have been sent again.
            again = 1 if what == "killed" else 0
            expect("  each call arrived once", CALLS <= sum(calls) <= CALLS + again, True)


if __name__ == "__main__":
    # Ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    {"serve": serve, "idle": idle, "spread": spread}[sys.argv[1]](*sys.argv[2:])
