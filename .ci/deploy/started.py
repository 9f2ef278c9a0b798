"""Starts orders with the environment of the manifests, and asks what the probes ask."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PATIENCE = 20
SERVING, NOT_SERVING = (health_pb2.HealthCheckResponse.ServingStatus.Value(name) for name in ("SERVING", "NOT_SERVING"))


def here(settings, folder):
    """The settings with addresses and files of this machine; the others are as they are."""
    files = {"tls.crt": "server.crt", "tls.key": "server.key", "ca.crt": "ca.crt"}
    changed = dict(settings)
    for name, value in settings.items():
        if value.startswith("0.0.0.0:"):
            changed[name] = "127.0.0.1:0"
        elif (file := files.get(pathlib.PurePath(value).name)) and value.startswith("/"):
            changed[name] = str(folder / "certs" / file)
    # There is no collector here.
    return {**changed, "ORDERS_DB": str(folder / "orders.db"), "ORDERS_OTLP": ""}


@contextlib.contextmanager
def started(orders, settings, folder):
    """A server, and the health service of its probes."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("ORDERS_", "RUST_LOG"))}
    with open(folder / "log", "w+") as log, subprocess.Popen(
        [orders, "serve"], env={**quiet, **settings}, stdout=subprocess.PIPE, stderr=log, text=True
    ) as server:
        try:
            for line in server.stdout:
                if line.startswith("health on "):
                    break
            else:
                log.seek(0)
                sys.exit(f"orders does not start:\n{log.read()}")
            with grpc.insecure_channel(line.removeprefix("health on ").strip()) as channel:
                yield server, health_pb2_grpc.HealthStub(channel)
        finally:
            server.kill()


def status(health, service):
    return health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE).status


def until(health, service, expected, what):
    end = time.monotonic() + PATIENCE
    while status(health, service) != expected:
        if time.monotonic() > end:
            sys.exit(f"{what}: the health of `{service}` is not {expected}")
        time.sleep(0.05)


def check_started(orders, settings, mesh, container):
    alive = container["livenessProbe"]["grpc"]["service"]
    ready = container["readinessProbe"]["grpc"]["service"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([orders, "certs", folder / "certs"], check=True, capture_output=True)

        # The issuer is away: not ready, and not restarted.
        for name, environment in [("the Deployment", settings), ("the mesh", mesh)]:
            with started(orders, here(environment, folder), folder) as (_, health):
                until(health, alive, SERVING, name)
                until(health, ready, NOT_SERVING, name)
            print(f"{name}: orders starts; without its issuer it lives, and is not ready")

        # With a key of its own it is ready; while it drains, it is alive and not ready.
        own_key = {**here(settings, folder), "ORDERS_ISSUER": "", "ORDERS_AUDIENCE": "", "ORDERS_DRAIN_DELAY": "2s"}
        with started(orders, own_key, folder) as (server, health):
            until(health, ready, SERVING, "with a key")
            server.send_signal(signal.SIGTERM)
            until(health, ready, NOT_SERVING, "a drain")
            if status(health, alive) != SERVING:
                sys.exit("a drain looks like a failure")
            if server.wait(PATIENCE) != 0:
                sys.exit("the drain has failed")
        print("SIGTERM: not ready at once, alive, drained with exit status 0")
