"""Calls a server of tonic-tls-reload with curl, grpcio, grpc-go, grpcurl and openssl, with and
without certificates, which openssl has made. Renews the server's files between calls of grpcio.

Usage: tls.py PATH_OF_TLS_SERVER PATH_OF_THE_GO_CLIENT PATH_OF_GRPCURL
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOS = ROOT / "call" / "test-kit" / "proto"
PATIENCE = 30  # seconds that any one thing may take
PATH = "/test.v1.Kinds/Unary"

# How each private key is made: the three forms that PEM files have.
KEYS = {
    "PKCS#8, P-256": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "SEC 1, P-384": ["ecparam", "-name", "secp384r1", "-genkey"],
    "PKCS#1, RSA": ["genrsa", "-traditional", "2048"],
    "PKCS#8, Ed25519": ["genpkey", "-algorithm", "ED25519"],
}


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Identity:
    """A certificate with its key; `crt` has the intermediate certificates too."""

    def __init__(self, folder, name, issuer=None, names="", ca=False, form="PKCS#8, P-256"):
        self.crt, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        kind, *options = KEYS[form]
        openssl(kind, "-out", self.key, *options)
        usage = "keyCertSign,cRLSign" if ca else "digitalSignature"
        extensions = [
            f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}",
            f"keyUsage=critical,{usage}",
            *([f"subjectAltName={names}"] if names else []),
        ]
        # Without it, openssl adds extensions of its own.
        config = folder / "openssl.cnf"
        config.write_text("[req]\ndistinguished_name = name\n[name]\n")
        openssl(
            *["req", "-x509", "-new", "-config", config, "-key", self.key, "-out", self.crt],
            *(["-CA", issuer.crt, "-CAkey", issuer.key] if issuer else []),
            *["-subj", f"/CN={name}", "-days", "2"],
            *(part for extension in extensions for part in ("-addext", extension)),
        )
        if issuer and issuer.issuer:
            self.crt.write_bytes(self.crt.read_bytes() + issuer.crt.read_bytes())
        self.issuer = issuer

    def copy(self, folder):
        """Writes the files of a server."""
        for path, name in (self.crt, "tls.crt"), (self.key, "tls.key"):
            shutil.copy(path, folder / "new")
            os.replace(folder / "new", folder / name)


class Server:
    def __init__(self, program, *arguments, http1=False):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environment = os.environ | ({"HTTP1": "1"} if http1 else {})
        command = [program, *map(str, arguments)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, env=environment, stderr=quiet, **pipes)
        self.port = self.process.stdout.readline().strip()

    def reload(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.stdin.close()
        expect("the server's exit status", self.process.wait(PATIENCE), 0)


@contextlib.contextmanager
def serving(program, *arguments, http1=False):
    server = Server(program, *arguments, http1=http1)
    try:
        yield server
        server.stop()
    finally:
        server.process.kill()


wrong = []


def expect(what, seen, expected):
    print(f"{what}: {seen}", flush=True)
    if seen != expected:
        wrong.append(f"{what}: {seen}; expected {expected}")


def output(*command, text=""):
    pipes = {"capture_output": True, "text": True, "errors": "replace"}
    run = subprocess.run([*map(str, command)], input=text, timeout=PATIENCE, **pipes)
    return run.returncode, run.stdout.strip(), run.stderr


def save_session(path, *command):
    """Runs openssl until the server has sent a session: in TLS 1.3 it comes after the handshake."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [*map(str, command), "-sess_out", str(path)]
    patience = time.monotonic() + PATIENCE
    with subprocess.Popen(command, **pipes) as client:
        while not (path.exists() and "END SSL SESSION" in path.read_text()):
            if time.monotonic() > patience:
                client.kill()
                sys.exit("the server sends no session")
            time.sleep(0.01)
        # The end of its input ends it.
        client.stdin.close()


def curl(port, ca, identity, *flags):
    """The version of HTTP, its status, and `grpc-status`; or why there is no connection."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "body").write_bytes(bytes(5))
        certificate = ["--cert", identity.crt, "--key", identity.key] if identity else []
        status, shown, _ = output(
            *["curl", "--silent", "--cacert", ca, *certificate, *flags],
            *["--header", "content-type: application/grpc", "--header", "te: trailers"],
            *["--data-binary", f"@{folder}/body", "--output", folder / "answer"],
            *["--dump-header", folder / "headers", "--max-time", "20"],
            *["--write-out", "HTTP/%{http_version} %{http_code}"],
            f"https://localhost:{port}{PATH}",
        )
        if status:
            return "refused"
        headers = (folder / "headers").read_text()
        codes = [line.split()[1] for line in headers.splitlines() if "grpc-status:" in line]
        return ", ".join([shown, *(f"grpc-status {code}" for code in codes)])


def channel_of(port, ca, identity):
    pair = (identity.key.read_bytes(), identity.crt.read_bytes()) if identity else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
    return grpc.secure_channel(f"localhost:{port}", credentials)


def call(channel):
    try:
        channel.unary_unary(PATH)(b"", timeout=20)
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def grpcio(port, ca, identity):
    with channel_of(port, ca, identity) as channel:
        return call(channel)


def grpc_go(program):
    def of(port, ca, identity):
        certificate = [identity.crt, identity.key] if identity else []
        _, code, error = output(program, port, ca, *certificate)
        return code.upper() or error

    return of


def grpcurl(program):
    def of(port, ca, identity):
        certificate = ["-cert", identity.crt, "-key", identity.key] if identity else []
        status, _, _ = output(
            *[program, "-cacert", ca, *certificate, "-connect-timeout", "5", "-d", "{}"],
            *["-import-path", PROTOS, "-proto", "kinds.proto"],
            *[f"localhost:{port}", PATH.removeprefix("/")],
        )
        return "UNAVAILABLE" if status else "OK"

    return of


def curl_http2(port, ca, identity):
    seen = curl(port, ca, identity, "--http2")
    return {"HTTP/2 200, grpc-status 0": "OK", "refused": "UNAVAILABLE"}.get(seen, seen)


def certificates(server, clients, folder):
    """Each client, with a certificate, with one of another CA, and without."""
    root = Identity(folder, "root", ca=True)
    middle = Identity(folder, "middle", root, ca=True)
    other = Identity(folder, "other", ca=True)
    good = Identity(folder, "good", middle, names="URI:spiffe://prod.example/billing")
    bad = Identity(folder, "bad", other, names="URI:spiffe://prod.example/billing")
    for form in KEYS:
        names = "DNS:localhost,IP:127.0.0.1"
        served = Identity(folder, "served", middle, names=names, form=form)
        for mode, outcomes in (
            ([], {None: "OK", good: "OK", bad: "OK"}),
            ([root.crt], {None: "UNAVAILABLE", good: "OK", bad: "UNAVAILABLE"}),
            ([root.crt, "optional"], {None: "OK", good: "OK", bad: "UNAVAILABLE"}),
        ):
            if form != "PKCS#8, P-256" and mode != [root.crt]:
                continue
            with serving(server, served.crt, served.key, *mode) as running:
                words = "mutual TLS" if mode else "TLS"
                words += ", optional" if mode[1:] else ""
                for identity, outcome in outcomes.items():
                    which = {None: "no certificate", good: "a good certificate"}
                    which = which.get(identity, "one of another CA")
                    for name, client in clients.items():
                        seen = client(running.port, root.crt, identity)
                        # BoringSSL does not offer Ed25519.
                        unknown = form == "PKCS#8, Ed25519" and name == "grpcio"
                        # Go presents no certificate of a CA that the server has not named.
                        keeps = mode[1:] and identity == bad and name in ("grpc-go", "grpcurl")
                        expected = "OK" if keeps else "UNAVAILABLE" if unknown else outcome
                        expect(f"{form}, {words}, {name}, {which}", seen, expected)


def protocols(server, folder):
    """HTTP/1.1 is spoken exactly if the server accepts it, TLS 1.2 and 1.3 always."""
    served = Identity(folder, "protocols", names="DNS:localhost")
    for http1 in False, True:
        with serving(server, served.crt, served.key, http1=http1) as running:

            def seen(*flags):
                return curl(running.port, served.crt, None, *flags)

            # Without a head that announces them, there are no trailers in HTTP/1.1.
            two, one = "HTTP/2 200, grpc-status 0", "HTTP/1.1 200"
            accepts = "a server of both versions" if http1 else "a server of HTTP/2"
            expect(f"{accepts}, curl --http2", seen("--http2"), two)
            expect(f"{accepts}, curl --http1.1", seen("--http1.1"), one if http1 else "refused")
            version = ["--tlsv1.2", "--tls-max", "1.2"]
            expect(f"{accepts}, curl, TLS 1.2", seen("--http2", *version), two)
            expect(f"{accepts}, curl, TLS 1.3", seen("--http2", "--tlsv1.3"), two)
            version = ["--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]
            expect(f"{accepts}, curl, TLS 1.1", seen("--http2", *version), "refused")


def sessions(server, folder):
    """openssl resumes sessions, sends odd server names, and asks in vain for renegotiation."""
    served = Identity(folder, "sessions", names="DNS:localhost")
    with serving(server, served.crt, served.key) as running:
        to = ["s_client", "-connect", f"localhost:{running.port}"]
        to += ["-CAfile", served.crt, "-alpn", "h2"]
        _, text, _ = output("openssl", *to, "-tls1_2", "-reconnect")
        expect("openssl, TLS 1.2, resumed sessions", text.count("Reused, TLSv1.2"), 5)
        session = folder / "session"
        save_session(session, "openssl", *to, "-tls1_3")
        _, text, _ = output("openssl", *to, "-tls1_3", "-sess_in", session)
        expect("openssl, TLS 1.3, a resumed session", text.count("Reused, TLSv1.3"), 1)
        for name, good in {
            "another.example": True,
            "x" * 250: False,
            "..": False,
            "-": False,
            "two\nlines": False,
            "ü": False,
        }.items():
            _, text, _ = output("openssl", *to, "-servername", name)
            expect(f"openssl, server name {name[:15]!r}", "New, TLSv1.3" in text, good)
        # It fails, or waits in vain.
        status, _, error = output("timeout", 3, "openssl", *to, "-tls1_2", text="R\n")
        begun = "RENEGOTIATING" in error and status
        expect("openssl, renegotiation fails", begun in (1, 124), True)
        expect("afterwards, curl", curl_http2(running.port, served.crt, None), "OK")


def rotation(server, folder):
    """The certificate of the server, its key and its CA are replaced, and so is the client CA."""
    cas = [Identity(folder, f"ca{number}", ca=True) for number in range(2)]
    names = "DNS:localhost"
    servers = [
        Identity(folder, f"server{number}", ca, names=names) for number, ca in enumerate(cas)
    ]
    clients = [Identity(folder, f"client{number}", ca) for number, ca in enumerate(cas)]
    both = folder / "both.pem"
    both.write_bytes(b"".join(ca.crt.read_bytes() for ca in cas))
    files = folder / "files"
    files.mkdir()
    bundle = files / "ca.crt"
    servers[0].copy(files)
    shutil.copy(cas[0].crt, bundle)
    with serving(server, files / "tls.crt", files / "tls.key", bundle) as running:
        with channel_of(running.port, both, clients[0]) as old:
            expect("rotation, the first set, grpcio", call(old), "OK")
            shutil.copy(servers[1].key, files / "tls.key")
            refused = running.reload()
            expect("rotation, a key that does not fit", "has another key than" in refused, True)
            expect("rotation, a new connection", grpcio(running.port, both, clients[0]), "OK")
            servers[1].copy(files)
            shutil.copy(both, bundle)
            expect("rotation, of all files", running.reload(), "renewed")
            expect("rotation, nothing new", running.reload(), "unchanged")
            seen = grpcio(running.port, cas[0].crt, clients[0])
            expect("rotation, a client that trusts only the old CA", seen, "UNAVAILABLE")
            for number in range(2):
                seen = grpcio(running.port, cas[1].crt, clients[number])
                expect(f"rotation, both client CAs, client {number}", seen, "OK")
            shutil.copy(cas[1].crt, bundle)
            expect("rotation, the old client CA is gone", running.reload(), "renewed")
            expect("rotation, an old client", grpcio(running.port, both, clients[0]), "UNAVAILABLE")
            expect("rotation, a new client", grpcio(running.port, both, clients[1]), "OK")
            expect("rotation, the old connection", call(old), "OK")


def main(server, go, grpcurl_program):
    clients = {
        "curl": curl_http2,
        "grpcio": grpcio,
        "grpc-go": grpc_go(go),
        "grpcurl": grpcurl(grpcurl_program),
    }
    print(f"grpcio {grpc.__version__}, {output('curl', '--version')[1].splitlines()[0]}")
    print(output("openssl", "version")[1])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        certificates(server, clients, folder)
        protocols(server, folder)
        sessions(server, folder)
        rotation(server, folder)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
