"""The clients: for a server's address and the port of a web page, the command that runs one, and its environment."""

import shutil

from install import HERE, PROTOS, PYTHON, TOOLS, Skip, command, go, jars, node, python

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
GHZ = "github.com/bojand/ghz/cmd/ghz@v0.121.0"
PROBE = "github.com/grpc-ecosystem/grpc-health-probe@v0.4.62"


def grpcio(address, _):
    generated, _ = python()
    return [PYTHON, HERE / "grpcio.py", address], {"PYTHONPATH": str(generated)}


def grpc_js(address, _):
    _, include = python()
    node()
    return ["node", HERE / "grpc_js.js", address, PROTOS, include], {}


def connect_web(address, page_port):
    _, include = python()
    node()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise Skip("there is no chromium")
    plugin = HERE / "node_modules" / ".bin" / "protoc-gen-es"
    generated = TOOLS / "web"
    generated.mkdir(parents=True, exist_ok=True)
    command(
        *[PYTHON, "-m", "grpc_tools.protoc", f"--plugin=protoc-gen-es={plugin}", f"--es_out={generated}"],
        *["--es_opt=target=js,import_extension=js", f"-I{PROTOS}", f"-I{include}"],
        *["orders/v1/orders.proto", "google/rpc/error_details.proto"],
    )
    return ["node", HERE / "connect_web.js", address, page_port, generated, chromium], {}


def grpc_java(address, _):
    generated, _ = python()
    java = ["java", "-XX:TieredStopAtLevel=1", "-cp", jars(), HERE / "GrpcJava.java"]
    return [*java, address, generated / "orders.bin"], {}


def grpcurl(address, _):
    return ["python3", HERE / "grpcurl.py", address, go(GRPCURL)], {}


def ghz(address, _):
    return ["python3", HERE / "ghz.py", address, go(GHZ)], {}


def health_probe(address, _):
    return ["python3", HERE / "health_probe.py", address, go(PROBE)], {}


CLIENTS = [grpcio, grpc_js, connect_web, grpc_java, grpcurl, ghz, health_probe]
