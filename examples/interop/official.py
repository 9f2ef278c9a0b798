"""Runs gRPC's own interoperability clients and servers against `interop`, with every layer and with none.

Usage: official.py INTEROP GO_CLIENT GO_SERVER TESTDATA [JAVA_CLASSPATH]

TESTDATA is the folder with gRPC's test certificates. Prints a table: `ok`, `no` if tonic or the other program cannot do
what the case needs, `FAILED`, or `-` if the client does not have the case. The exit status is 1 if something has failed
that is not in `KNOWN`, or if something in `KNOWN` has not failed.
"""

import base64
import concurrent.futures
import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOST = "foo.test.google.fr"
USER = "interop@example.org"
# Of the tokens of grpc-java, and of grpc-go.
AUDIENCES = [f"https://{HOST}/grpc.testing.TestService", f"https://{HOST}/"]

BOTH = """empty_unary large_unary client_streaming server_streaming ping_pong empty_stream custom_metadata
status_code_and_message special_status_message unimplemented_method unimplemented_service cancel_after_begin
cancel_after_first_response timeout_on_sleeping_server rpc_soak""".split()
COMPRESSED = """client_compressed_unary server_compressed_unary client_compressed_streaming
server_compressed_streaming""".split()
TOKEN = "jwt_token_creds"
GO = [*BOTH, "pick_first_unary", "channel_soak", TOKEN]
JAVA = [*BOTH, *COMPRESSED, "cacheable_unary", "very_large_request", "pick_first_unary", "channel_soak", TOKEN]
OURS = [*BOTH, *COMPRESSED, "cacheable_unary", TOKEN]

# What fails, by client and case, and why.
KNOWN = {
    ("bare", "timeout_on_sleeping_server"): "tonic's deadlines end at the head, and then with CANCELLED",
    ("java", "server_compressed_streaming"): "a server of tonic compresses all messages of a stream, or none",
    ("java", "cacheable_unary"): "needs a proxy that keeps the response",
}
# What the layers add to tonic.
ADDED = ["timeout_on_sleeping_server"]

# Each program may need a JVM.
PATIENCE = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(command, port):
    """A server, once its port accepts connections."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    sys.exit(f"{command} does not serve: {log.read().decode()}")
                time.sleep(0.02)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def play(command):
    """`ok`, `no` or `FAILED`, and the last lines of the client."""
    ended, output = play_once(command)
    # A race of grpc-go's client: a call that it has just cancelled sometimes gets its response, from a server of
    # grpc-go too (once in 400 times).
    if "CloseAndRecv() got error code 0, want 1" in output:
        return play_once(command)
    return ended, output


def play_once(command):
    try:
        done = subprocess.run(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return "FAILED", f"it did not end within {PATIENCE} s"
    ended = "ok" if done.returncode == 0 else "FAILED"
    if re.search(r": not possible: ", done.stdout):
        ended = "no"
    return ended, done.stdout.strip()[-600:]


def key_file(folder):
    """A service account's key as Google gives them out, its key set, and a token that it signs."""
    key = folder / "key.pem"
    run = lambda *args, **more: subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, **more)
    run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    modulus = run("rsa", "-in", key, "-noout", "-modulus", text=True).stdout.strip().split("=")[1]
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    jwk = {"kty": "RSA", "kid": "key-1", "alg": "RS256", "use": "sig", "e": "AQAB", "n": encode(bytes.fromhex(modulus))}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    account = {
        "type": "service_account",
        "client_email": USER,
        "client_id": "1",
        "private_key_id": "key-1",
        "private_key": key.read_text(),
        "token_uri": "http://127.0.0.1:9/",
    }
    (folder / "account.json").write_text(json.dumps(account))
    now = int(time.time())
    claims = {"iss": USER, "sub": USER, "aud": AUDIENCES[0], "iat": now, "exp": now + 3600}
    parts = [{"alg": "RS256", "typ": "JWT", "kid": "key-1"}, claims]
    signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = run("dgst", "-sha256", "-sign", key, input=signed.encode()).stdout
    token = f"{signed}.{encode(signature)}"
    (folder / "token").write_text(token)
    return token


class Programs:
    def __init__(self, folder, interop, go_client, go_server, testdata, classpath=None):
        self.folder, self.interop = folder, interop
        self.go_client, self.go_server, self.classpath = go_client, go_server, classpath
        self.testdata = pathlib.Path(testdata)
        self.token = key_file(folder)

    def server(self, name, port, tls, auth):
        data = self.testdata
        certificate = ["--tls_cert_file", data / "server1.pem", "--tls_key_file", data / "server1.key"]
        flags = [f"--port={port}", f"--use_tls={str(tls).lower()}"]
        if name == "go":
            return [self.go_server, *flags]
        if name == "java":
            return [*self.java("TestServiceServer"), *flags]
        command = [self.interop, "serve", *flags, *(certificate if tls else [])]
        if auth:
            command += ["--auth_jwks", self.folder / "jwks.json", "--auth_issuer", USER]
            command += [f"--auth_audience={audience}" for audience in AUDIENCES]
        return command + (["--bare"] if name == "bare" else [])

    def client(self, name, case, port, tls, auth):
        data = self.testdata
        flags = ["--server_host=127.0.0.1", f"--server_port={port}", f"--test_case={case}"]
        flags += [f"--use_tls={str(tls).lower()}"]
        flags += [f"--server_host_override={HOST}"] if tls else []
        if name in ("go", "java"):
            flags += ["--use_test_ca=true"] if tls else []
            if case == TOKEN:
                flags += [f"--service_account_key_file={self.folder / 'account.json'}"]
            elif auth:
                flags += [f"--additional_metadata=authorization:Bearer {self.token}"]
            return [self.go_client, *flags] if name == "go" else [*self.java("TestServiceClient"), *flags]
        flags += [f"--ca_file={data / 'ca.pem'}"] if tls else []
        if auth:
            flags += ["--token_file", self.folder / "token", f"--default_service_account={USER}"]
        return [self.interop, "client", *flags, *(["--bare"] if name == "bare" else [])]

    def java(self, program):
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        return ["java", *quick, "-cp", self.classpath, f"io.grpc.testing.integration.{program}"]


def column(programs, client, server, tls=False, auth=False):
    """How each case ends with this client and this server."""
    cases = {"go": GO, "java": JAVA}.get(client, OURS)
    port = free_port()
    ended = {}
    with serving(programs.server(server, port, tls, auth), port):
        for case in cases:
            # Needs a server that verifies tokens; without TLS, clients have no credentials.
            if case == TOKEN and not (tls and auth):
                continue
            ended[case] = play(programs.client(client, case, port, tls, auth))
    return ended


def main(*paths):
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(pathlib.Path(folder), *paths)
        others = ["go", "java"] if programs.classpath else ["go"]
        columns = {}
        for other in others:
            columns[f"{other} > bare"] = (other, "bare")
            columns[f"{other} > layers"] = (other, "layers")
            columns[f"{other} > layers, TLS"] = (other, "layers", True)
            columns[f"{other} > layers, TLS, token"] = (other, "layers", True, True)
            columns[f"bare > {other}"] = ("bare", other)
            columns[f"layers > {other}"] = ("layers", other)
            columns[f"layers > {other}, TLS"] = ("layers", other, True)
        columns["bare > bare"] = ("bare", "bare")
        columns["layers > bare"] = ("layers", "bare")
        columns["bare > layers"] = ("bare", "layers")
        columns["layers > layers, TLS, token"] = ("layers", "layers", True, True)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = {name: pool.submit(column, programs, *how) for name, how in columns.items()}
            results = {name: future.result() for name, future in futures.items()}
        report(results)


def report(results):
    names = list(results)
    cases = list(dict.fromkeys([*OURS, *JAVA, *GO]))
    for number, name in enumerate(names, 1):
        print(f"{number:>2}: {name}")
    print(f"{'':28}" + "".join(f"{number:>7}" for number in range(1, len(names) + 1)))
    wrong, known = [], set()
    for case in cases:
        cells = {name: results[name].get(case, ("-", "")) for name in names}
        print(f"{case:28}" + "".join(f"{ended:>7}" for ended, _ in cells.values()))
        for name, (ended, output) in cells.items():
            if ended != "FAILED":
                continue
            key = (name.split(" > ")[0], case)
            known.add(key)
            if key not in KNOWN:
                wrong.append(f"{case}, {name}: {output}")
        for one, other in pairs(names):
            if cells[one][0] != cells[other][0] and case not in ADDED:
                wrong.append(f"{case}: {one} is not as {other}")
    for client, case in sorted(known & KNOWN.keys()):
        print(f"{case}, {client}: {KNOWN[client, case]}")
    print(f"{sum(len(column) for column in results.values())} calls of programs, {len(wrong)} not as expected")
    for line in wrong:
        print(f"\n{line}")
    sys.exit(1 if wrong else 0)


def pairs(names):
    """The columns that differ in the layers alone."""
    for name in names:
        layered = re.sub(r"\bbare\b", "layers", name, count=1)
        if layered != name and layered in names:
            yield name, layered


if __name__ == "__main__":
    main(*sys.argv[1:])
