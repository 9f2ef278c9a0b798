"""Makes the same calls of the same scripted servers, by the same service config, with grpcio, grpc-go and
tonic-retry-layer: each must make the same number of attempts, and end with the same code.

Usage: retries.py PATH_OF_RETRY_ATTEMPTS PATH_OF_THE_GO_CLIENT
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field

import grpc

OK, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE = 0, 4, 8, 13, 14
CODES = {code.value[0]: code for code in grpc.StatusCode}

# Error codes of HTTP/2.
INTERNAL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 2, 7, 11


def policy(attempts=4, codes=(UNAVAILABLE,), backoff="0.01s"):
    return {
        "maxAttempts": attempts,
        "initialBackoff": backoff,
        "maxBackoff": backoff,
        "backoffMultiplier": 1,
        "retryableStatusCodes": [CODES[code].name for code in codes],
    }


# A client that ignores the server's pushback waits longer than the call may take.
LONG = policy(backoff="100s")


GRPCIO, GRPC_GO, OURS = "grpcio", "grpc-go", "tonic-retry-layer"


@dataclass
class Row:
    """One call, or some one after the other: the attempts of all, and the code of each."""

    what: str
    script: str
    attempts: int
    codes: list
    policy: dict | None = field(default_factory=policy)
    method: str = "Unary"
    seconds: float = 10
    bytes: int = 0
    throttling: dict | None = None
    # The clients that differ: their attempts and codes. Each row says why.
    differs: dict = field(default_factory=dict)

    def config(self):
        entry = {"name": [{"service": "test.v1.Kinds"}]}
        if self.policy:
            entry["retryPolicy"] = self.policy
        config = {"methodConfig": [entry]}
        if self.throttling:
            config["retryThrottling"] = self.throttling
        return json.dumps(config)


TWICE = f"status {UNAVAILABLE}; status {UNAVAILABLE}; ok"
ALWAYS = f"status {UNAVAILABLE}"


def pushback(value):
    return f"status {UNAVAILABLE} pushback {value}; ok"


ROWS = [
    Row("UNAVAILABLE twice, then OK", TWICE, 3, [OK]),
    Row("UNAVAILABLE always", ALWAYS, 4, [UNAVAILABLE]),
    Row("maxAttempts 2", ALWAYS, 2, [UNAVAILABLE], policy(2)),
    Row("maxAttempts 5", ALWAYS, 5, [UNAVAILABLE], policy(5)),
    Row("maxAttempts 10, which is 5", ALWAYS, 5, [UNAVAILABLE], policy(10)),
    Row("no policy", ALWAYS, 1, [UNAVAILABLE], None),
    Row("a code that is not listed", f"status {INTERNAL}", 1, [INTERNAL]),
    Row(
        "a listed code, then one that is not",
        f"status {UNAVAILABLE}; status {INTERNAL}",
        2,
        [INTERNAL],
    ),
    *(
        Row(f"{CODES[code].name} is listed", f"status {code}; ok", 2, [OK], policy(codes=[code]))
        for code in range(1, 17)
    ),
    Row("a stream of requests", TWICE, 3, [OK], method="ClientStream"),
    Row("a stream of responses", TWICE, 3, [OK], method="ServerStream"),
    Row("streams both ways", TWICE, 3, [OK], method="BidiStream"),
    Row(
        "a stream of requests, refused at its first message",
        f"early status {UNAVAILABLE}; ok",
        2,
        [OK],
        method="ClientStream",
    ),
    # grpcio makes no other attempt within the deadline.
    Row(
        "pushback 0",
        pushback("0"),
        2,
        [OK],
        LONG,
        seconds=5,
        differs={GRPCIO: (1, [DEADLINE_EXCEEDED])},
    ),
    Row("pushback 50 ms", pushback("50"), 2, [OK], LONG),
    Row("pushback -1", pushback("-1"), 1, [UNAVAILABLE]),
    # grpcio does not accept the head of the response.
    Row(
        "pushback that is no number",
        pushback("soon"),
        1,
        [UNAVAILABLE],
        differs={GRPCIO: (1, [INTERNAL])},
    ),
    Row(
        "pushback of a code that is not listed",
        f"status {INTERNAL} pushback 0; ok",
        1,
        [INTERNAL],
    ),
    Row(
        "throttled: three calls with 4 tokens",
        ALWAYS,
        2 + 1 + 1,
        3 * [UNAVAILABLE],
        throttling={"maxTokens": 4, "tokenRatio": 0.1},
    ),
    Row(
        "throttled by pushback -1: a call costs a token",
        f"status {UNAVAILABLE} pushback -1; {ALWAYS}",
        1 + 1,
        2 * [UNAVAILABLE],
        throttling={"maxTokens": 4, "tokenRatio": 0.1},
    ),
    # grpcio does not count a ratio that has no decimal point.
    Row(
        "tokens come back: 0.9 for each OK",
        f"{ALWAYS}; {ALWAYS}; ok; ok; {ALWAYS}; ok",
        2 + 1 + 1 + 2,
        [UNAVAILABLE, OK, OK, OK],
        throttling={"maxTokens": 4, "tokenRatio": 0.9},
    ),
    Row("a head, then UNAVAILABLE", f"head status {UNAVAILABLE}; ok", 1, [UNAVAILABLE]),
    Row(
        "a message, then UNAVAILABLE",
        f"message status {UNAVAILABLE}; ok",
        1,
        [UNAVAILABLE],
        method="ServerStream",
    ),
    Row(
        "a request of 30 KiB",
        f"early status {UNAVAILABLE}; ok",
        2,
        [OK],
        bytes=30 << 10,
    ),
    Row(
        "a request of 300 KiB, longer than what is kept",
        f"early status {UNAVAILABLE}; ok",
        1,
        [UNAVAILABLE],
        bytes=300 << 10,
    ),
    Row(
        "the caller's deadline passes, DEADLINE_EXCEEDED is listed",
        "hang",
        1,
        [DEADLINE_EXCEEDED],
        policy(codes=[DEADLINE_EXCEEDED]),
        seconds=0.3,
    ),
    # Ours does not wait in vain: the caller gets the failure at once.
    Row(
        "back-off beyond the deadline",
        ALWAYS,
        1,
        [DEADLINE_EXCEEDED],
        LONG,
        seconds=0.3,
        differs={OURS: (1, [UNAVAILABLE])},
    ),
    # grpcio does not treat it as a call that the server has not processed.
    Row(
        "REFUSED_STREAM once, no policy",
        f"reset {REFUSED_STREAM}; ok",
        2,
        [OK],
        None,
        differs={GRPCIO: (1, [UNAVAILABLE])},
    ),
    Row(
        "REFUSED_STREAM always, no policy",
        f"reset {REFUSED_STREAM}",
        2,
        [UNAVAILABLE],
        None,
        differs={GRPCIO: (1, [UNAVAILABLE])},
    ),
    Row(
        "REFUSED_STREAM always",
        f"reset {REFUSED_STREAM}",
        1 + 4,
        [UNAVAILABLE],
        differs={GRPCIO: (4, [UNAVAILABLE])},
    ),
    Row("GOAWAY below the stream, no policy", "goaway; ok", 2, [OK], None),
    Row(
        "the connection is closed, no policy",
        "close; ok",
        1,
        [UNAVAILABLE],
        None,
    ),
    Row(
        "the connection is always closed",
        "close",
        4,
        [UNAVAILABLE],
    ),
    Row("the connection is closed", "close; ok", 2, [OK]),
    Row(
        "RST_STREAM INTERNAL_ERROR, INTERNAL is listed",
        f"reset {INTERNAL_ERROR}; ok",
        2,
        [OK],
        policy(codes=[INTERNAL]),
    ),
    Row(
        "RST_STREAM ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED is listed",
        f"reset {ENHANCE_YOUR_CALM}; ok",
        2,
        [OK],
        policy(codes=[RESOURCE_EXHAUSTED]),
    ),
]


def request(length):
    """An encoded request with a text of this length."""
    if not length:
        return b""
    size, rest = b"", length
    while rest > 0x7F:
        size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
    return b"\x22" + size + bytes([rest]) + b"x" * length


def call_by_python(address, row):
    """The codes of a row's calls, by grpcio."""
    path = f"/test.v1.Kinds/{row.method}"
    options = [("grpc.service_config", row.config())]
    message, codes = request(row.bytes), []
    with grpc.insecure_channel(address, options) as channel:
        for _ in row.codes:
            try:
                match row.method:
                    case "Unary":
                        channel.unary_unary(path)(message, timeout=row.seconds)
                    case "ClientStream":
                        channel.stream_unary(path)(iter(3 * [message]), timeout=row.seconds)
                    case "ServerStream":
                        list(channel.unary_stream(path)(message, timeout=row.seconds))
                    case "BidiStream":
                        messages = iter(3 * [message])
                        list(channel.stream_stream(path)(messages, timeout=row.seconds))
                codes.append(OK)
            except grpc.RpcError as error:
                codes.append(error.code().value[0])
    return codes


def call_by_program(*command):
    """The codes of a row's calls, by a program that prints them."""

    def call(address, row):
        row_arguments = [row.method, row.seconds, len(row.codes), row.bytes]
        arguments = [*command, address, row.config(), *map(str, row_arguments)]
        run = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, timeout=60)
        return [int(code) for code in run.stdout.split()]

    return call


class Servers:
    """A program that starts a server for each script, and counts its requests."""

    def __init__(self, program):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([program, "serve"], **pipes)

    def ask(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def run(self, row, call):
        """How many attempts a client makes, and the codes of its calls."""
        codes = call(self.ask(row.script), row)
        return int(self.ask("")), codes

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)


def shown(attempts, codes):
    names = [CODES[code].name for code in codes]
    text = names[0] if len(set(names)) == 1 else ", ".join(names)
    return f"{attempts}, {text}"


def main(ours, go):
    clients = {
        GRPCIO: call_by_python,
        GRPC_GO: call_by_program(go),
        OURS: call_by_program(ours, "call"),
    }
    servers, wrong = Servers(ours), []
    print(f"grpcio {grpc.__version__}")
    print("| attempts and codes |", " | ".join(clients), "|")
    print("|---" * (len(clients) + 1) + "|")
    for row in ROWS:
        cells = []
        for name, call in clients.items():
            expected = row.differs.get(name, (row.attempts, row.codes))
            seen = servers.run(row, call)
            cells.append(shown(*seen))
            if seen != expected:
                wrong.append(f"{row.what}, {name}: {shown(*seen)}; expected {shown(*expected)}")
        print(f"| {row.what} |", " | ".join(cells), "|", flush=True)
    servers.stop()
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
