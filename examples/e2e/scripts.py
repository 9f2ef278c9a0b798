"""The clients that start servers themselves, with flags of their own, and print a line for each check: the command that
runs one.
"""

from install import GRPCURL, HERE, ORDERS, PYTHON, TARGET, TOOLS, Skip, cargo, command, go, python


def script(name, *arguments):
    """A script of Python that calls `orders serve`."""

    def client():
        python()
        return [PYTHON, HERE / f"{name}.py", *arguments]

    client.__name__ = name
    return client


def tls():
    python()
    cargo("-p", "tonic-tls-reload", "--features", "tls-aws-lc", "--example", "tls-server")
    client = TOOLS / "go" / "tls"
    command("go", "-C", HERE / "tls", "build", "-buildvcs=false", "-o", client, ".")
    return [PYTHON, HERE / "tls.py", TARGET / "debug" / "examples" / "tls-server", client, go(GRPCURL)]


def retries():
    # Calls of grpcio 1.76 that are retried sometimes do not end, not even at their deadline.
    newer = python(HERE / "retries" / "requirements.txt", "python-retries")
    cargo("-p", "tonic-retry-layer", "--example", "retry-attempts")
    client = TOOLS / "go" / "retries"
    command("go", "-C", HERE / "retries", "build", "-buildvcs=false", "-o", client, ".")
    return [newer, HERE / "retries.py", TARGET / "debug" / "examples" / "retry-attempts", client]


def trace():
    python()
    collector = TARGET / "ci-tools" / "otelcol" / "otelcol"
    if not collector.exists():
        raise Skip("there is no OpenTelemetry collector; .ci/run builds it")
    return [PYTHON, HERE / "trace.py", ORDERS, collector]


SCRIPTS = [
    script("check", ORDERS),
    script("auth", ORDERS),
    script("limits", ORDERS),
    script("deadlines", ORDERS),
    script("certificates", ORDERS),
    script("balance", "spread", ORDERS),
    script("count", ORDERS, 20),
    tls,
    retries,
    trace,
]
