"""The clients: for a server's address and the port of a web page, the command that runs one, and its environment."""

import shutil

from install import GHZ, GRPCURL, HERE, PROBE, PROTOS, PYTHON, TOOLS, Skip, command, generated, go, jars, node


def grpcio(address, _):
    stubs, _ = generated()
    return [PYTHON, HERE / "grpcio.py", address], {"PYTHONPATH": str(stubs)}


def grpc_js(address, _):
    _, include = generated()
    node()
    return ["node", HERE / "grpc_js.js", address, PROTOS, include], {}


def connect_web(address, page_port):
    _, include = generated()
    node()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise Skip("there is no chromium")
    plugin = HERE / "node_modules" / ".bin" / "protoc-gen-es"
    code = TOOLS / "web"
    code.mkdir(parents=True, exist_ok=True)
    command(
        *[PYTHON, "-m", "grpc_tools.protoc", f"--plugin=protoc-gen-es={plugin}", f"--es_out={code}"],
        *["--es_opt=target=js,import_extension=js", f"-I{PROTOS}", f"-I{include}"],
        *["orders/v1/orders.proto", "google/rpc/error_details.proto"],
    )
    return ["node", HERE / "connect_web.js", address, page_port, code, chromium], {}


def grpc_java(address, _):
    folder, _ = generated()
    java = ["java", "-XX:TieredStopAtLevel=1", "-cp", jars(), HERE / "GrpcJava.java"]
    return [*java, address, folder / "orders.bin"], {}


def grpcurl(address, _):
    return ["python3", HERE / "grpcurl.py", address, go(GRPCURL)], {}


def ghz(address, _):
    return ["python3", HERE / "ghz.py", address, go(GHZ)], {}


def health_probe(address, _):
    return ["python3", HERE / "health_probe.py", address, go(PROBE)], {}


CLIENTS = [grpcio, grpc_js, connect_web, grpc_java, grpcurl, ghz, health_probe]
