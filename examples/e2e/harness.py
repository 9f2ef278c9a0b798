"""What the checks share: the stubs of orders.v1, a server of it, and why it refuses."""

import contextlib
import importlib
import os
import pathlib
import signal
import subprocess
import sys

from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOS = ROOT / "examples" / "proto"
PATIENCE = 20  # seconds that any one thing may take


def generated(folder):
    """The messages and stubs of orders.v1, made from its proto."""
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{well_known}",
        f"--python_out={folder}",
        f"--grpc_python_out={folder}",
        "orders/v1/orders.proto",
    ]
    if protoc.main(arguments) != 0:
        sys.exit("the proto does not compile")
    sys.path.insert(0, str(folder))
    return (
        importlib.import_module("orders.v1.orders_pb2"),
        importlib.import_module("orders.v1.orders_pb2_grpc"),
    )


@contextlib.contextmanager
def serving(orders, log=None, flags=("--auth", "off"), stop=signal.SIGINT):
    """The addresses of a server with faults, and of its metrics; drained at the end."""
    free = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    command = [orders, "serve", "--faults", *free, "--db", ":memory:", "--log", "json", *flags]
    quiet = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
    pipes = {"stdout": subprocess.PIPE, "stderr": log, "text": True}
    with subprocess.Popen(command, env=quiet, **pipes) as server:
        try:
            address = server.stdout.readline().removeprefix("listening on ").strip()
            metrics = server.stdout.readline().removeprefix("metrics on ").strip()
            yield address, metrics
            server.send_signal(stop)
            expect("the server's exit status", server.wait(PATIENCE), 0)
        finally:
            server.kill()


def expect(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"expected {expected}")


def fault(value):
    return (("x-fault", value),)


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


def error_info(error):
    """The ErrorInfo among the details of a call's status, or an empty one."""
    info = error_details_pb2.ErrorInfo()
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        detail.Unpack(info)
    return info
