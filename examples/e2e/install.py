"""Installs the clients into target/e2e, each at the version that is written here or in a file beside it."""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = TARGET / "e2e"
ORDERS = TARGET / "debug" / "orders"
PROTOS = HERE.parent / "proto"
PYTHON = TOOLS / "python" / "bin" / "python"

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
GHZ = "github.com/bojand/ghz/cmd/ghz@v0.121.0"
PROBE = "github.com/grpc-ecosystem/grpc-health-probe@v0.4.62"


class Skip(Exception):
    """Why a client cannot be installed."""


def command(*arguments, cwd=None, env=None):
    """Runs a command that installs something."""
    if shutil.which(arguments[0]) is None:
        raise Skip(f"there is no {arguments[0]}")
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise Skip(f"{arguments[0]}: {' '.join(done.stdout.split())[-300:]}")
    return done.stdout.strip()


def once(source, folder, install):
    """Installs into a folder, unless this version of the source is there already."""
    stamp = folder / "installed-from"
    text = source.read_text()
    if not stamp.exists() or stamp.read_text() != text:
        install()
        folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(text)


def python(requirements=HERE / "requirements.txt", name="python"):
    """The interpreter of an environment with these packages."""
    folder = TOOLS / name
    interpreter = folder / "bin" / "python"

    def install():
        command("python3", "-m", "venv", "--clear", folder)
        quiet = ["--quiet", "--disable-pip-version-check"]
        command(interpreter, "-m", "pip", "install", *quiet, "-r", requirements)

    once(requirements, folder, install)
    return interpreter


def generated():
    """Two folders: the messages and stubs of `orders.v1` for Python with its descriptor set, and Google's own protos."""
    python()
    folder = TOOLS / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    include = command(PYTHON, "-c", 'import google.rpc; print(list(google.rpc.__path__)[0] + "/../..")')
    well_known = command(PYTHON, "-c", "import grpc_tools; print(list(grpc_tools.__path__)[0])") + "/_proto"
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    outputs += ["--include_imports", f"--descriptor_set_out={folder}/orders.bin"]
    command(PYTHON, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, "orders/v1/orders.proto")
    return folder, include


def cargo(*arguments):
    """Builds a program of this workspace. A build that fails is no reason to skip."""
    build = ["cargo", "build", "--quiet", "--locked", *arguments]
    if subprocess.run(build, cwd=ROOT).returncode != 0:
        sys.exit(f"{' '.join(build)} has failed")


def node():
    once(HERE / "package-lock.json", HERE / "node_modules", lambda: command(
        "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=HERE
    ))


def go(package):
    """A program of Go."""
    name = package.split("@")[0].split("/")[-1]
    folder = TOOLS / "go" / package.split("@")[1]
    if not (folder / name).exists():
        command("go", "install", package, cwd=TOOLS, env={"GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"})
    return folder / name


def jars():
    """The class path of grpc-java."""
    folder = TOOLS / "java"
    once(HERE / "pom.xml", folder, lambda: command(
        *["mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime"],
        f"-DoutputDirectory={folder}",
    ))
    return f"{folder}/*"
