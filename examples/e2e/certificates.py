"""Calls `orders serve --allow-spiffe` by Python's grpcio with certificates that openssl has made, with and without tokens,
and with forged headers: who is served, why others are refused, and which caller the log names.

Usage: certificates.py PATH_OF_ORDERS
"""

import base64
import contextlib
import hashlib
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile

import grpc
from harness import PATIENCE, bearer, error_info, expect, generated, serving
from tls import Identity, openssl
from tokens import READ, WRITE, Tokens

BILLING = "spiffe://prod.example/billing/api"
ALLOW = ("--allow-spiffe", "spiffe://prod.example/billing/*")
USAGE = "keyUsage=critical,digitalSignature\n"

FAILED = "UNAVAILABLE"
MISSING = "UNAUTHENTICATED CREDENTIALS_MISSING"
INVALID = "UNAUTHENTICATED TOKEN_INVALID"
DENIED = "PERMISSION_DENIED ACCESS_DENIED"
NO_SCOPE = "PERMISSION_DENIED SCOPE_INSUFFICIENT"


def issued(folder, name, ca, names="", subject="", days=2):
    """A client's certificate. `req` of openssl knows no date in the past, and `x509` does."""
    identity = Identity(folder, name)
    request, extensions = folder / "request", folder / "extensions"
    openssl("req", "-new", "-key", identity.key, "-subj", f"/{subject}", "-out", request)
    extensions.write_text(USAGE + (f"subjectAltName={names}\n" if names else ""))
    openssl(
        *["x509", "-req", "-in", request, "-CA", ca.crt, "-CAkey", ca.key, "-CAcreateserial"],
        *["-days", days, "-extfile", extensions, "-out", identity.crt],
    )
    return identity


class Clients:
    """Makes calls, each on a connection of its own, and checks how they end and what the log has of them."""

    def __init__(self, folder, ca, stub, request):
        self.folder, self.ca, self.stub, self.request = folder, ca, stub, request

    @contextlib.contextmanager
    def serving(self, orders, *flags):
        """A server; afterwards its log must have these calls."""
        self.lines = []
        path = self.folder / "log"
        with path.open("w") as log, serving(orders, log, flags) as (address, _):
            self.port = address.rsplit(":", 1)[1]
            yield
        logged = [json.loads(line) for line in path.read_text().splitlines()]
        logged = [line for line in logged if line["message"] == "finished call"]
        keys = "enduser.id", "auth.check", "mtls.caller", "mtls.source"
        seen = [tuple(line.get(key) for key in keys) for line in logged]
        expect("the log of these calls", seen, self.lines)

    def channel(self, identity, plain):
        if plain:
            return grpc.insecure_channel(f"localhost:{self.port}")
        pair = (identity.key.read_bytes(), identity.crt.read_bytes()) if identity else (None, None)
        credentials = grpc.ssl_channel_credentials(self.ca.crt.read_bytes(), *pair)
        return grpc.secure_channel(f"localhost:{self.port}", credentials)

    def call(self, what, expected, line, identity=None, metadata=(), plain=False):
        """`line` is what the log has of the call: the caller, the failed check, and the certificate's name and source.
        It is None if the handshake fails."""
        with self.channel(identity, plain) as channel:
            try:
                answers = self.stub(channel).ListOrders(
                    self.request, metadata=metadata, timeout=PATIENCE
                )
                for _ in answers:
                    pass
                seen = "OK"
            except grpc.RpcError as error:
                seen = " ".join(filter(None, [error.code().name, error_info(error).reason]))
        expect(what, seen, expected)
        if line:
            self.lines.append(line)


def refused(check):
    return None, check, None, None


def forged(name):
    """The headers of Envoy and Istio, and of Linkerd."""
    return (("x-forwarded-client-cert", f"URI={name}"), ("l5d-client-id", name))


def by_certificate(clients, orders, flags, identities):
    """Without tokens: the certificate alone."""
    passed = f"mtls:{BILLING}", None, BILLING, "connection"
    cases = {
        "billing": ("OK", passed),
        "reports": (DENIED, refused("spiffe_id")),
        "elsewhere": (INVALID, refused("trust_domain")),
        "two": (INVALID, refused("uri_san")),
        "common-name": (INVALID, refused("san")),
        "expired": (FAILED, None),
        "of-another-ca": (FAILED, None),
        None: (FAILED, None),
    }
    with clients.serving(orders, "--auth", "off", *flags, *ALLOW):
        for metadata, how in ((), ""), (forged(BILLING), ", forged headers"):
            for name, (code, line) in cases.items():
                identity = identities.get(name)
                what = f"--auth off, {name or 'no certificate'}{how}"
                clients.call(what, code, line, identity, metadata)


def by_both(clients, orders, flags, identities, tokens):
    """With tokens, and clients that have no certificate, too."""
    billing = identities["billing"]

    def passed(subject):
        return f"orders-dev#{subject}", None, BILLING, "connection"

    with clients.serving(orders, *tokens.flags, *flags, "--client-cert", "optional", *ALLOW):
        reads, writes = bearer(tokens.by_orders(READ)), bearer(tokens.by_orders(WRITE))
        clients.call("both", "OK", passed("developer"), billing, reads)
        no_scope = ("orders-dev#developer", "scope", None, None)
        clients.call("both, another scope", NO_SCOPE, no_scope, billing, writes)
        clients.call("only the certificate", MISSING, refused("all_of"), billing)
        clients.call("only the token", MISSING, refused("all_of"), None, reads)
        clients.call("neither", MISSING, refused("credentials"))
        clients.call("a bad token", INVALID, refused("signature"), billing, bad(tokens))
        for name, (code, check) in {
            "reports": (DENIED, "spiffe_id"),
            "elsewhere": (INVALID, "trust_domain"),
        }.items():
            clients.call(f"a token, {name}", code, refused(check), identities[name], reads)
        headers = reads + forged(BILLING)
        clients.call("a token, and forged headers", MISSING, refused("all_of"), None, headers)

        bound = bearer(tokens.by_python(cnf={"x5t#S256": thumbprint(billing)}))
        for number in "first", "second":
            what = f"a bound token, the {number} time"
            clients.call(f"{what}, its certificate", "OK", passed("python"), billing, bound)
            for name in "billing-2", None:
                seen = f"{what}, {name or 'no certificate'}"
                clients.call(seen, INVALID, refused("cnf"), identities.get(name), bound)


def by_header(clients, orders):
    """Behind a proxy, in plain text."""
    passed = f"mtls:{BILLING}", None, BILLING, "x-forwarded-client-cert"
    with clients.serving(orders, "--auth", "off", *ALLOW, "--trust-xfcc", "loopback"):
        for header, code, line in [
            (f'By=spiffe://prod.example/me;Subject="/CN=a,b;URI=c";URI={BILLING}', "OK", passed),
            (f"URI=spiffe://prod.example/reports,URI={BILLING}", "OK", passed),
            (f"URI={BILLING},URI=spiffe://prod.example/x", DENIED, refused("spiffe_id")),
            (f"URI={BILLING};URI={BILLING}", INVALID, refused("xfcc")),
        ]:
            metadata = (("x-forwarded-client-cert", header),)
            clients.call(f"a trusted proxy, {header}", code, line, metadata=metadata, plain=True)
        linkerd = forged(BILLING)[1:]
        missing = refused("credentials")
        clients.call("Linkerd's header", MISSING, missing, metadata=linkerd, plain=True)
        clients.call("a trusted proxy, no header", MISSING, missing, plain=True)
    with clients.serving(orders, "--auth", "off", *ALLOW, "--trust-xfcc", "192.0.2.0/24"):
        headers = forged(BILLING)
        clients.call("a peer that is not trusted", MISSING, missing, metadata=headers, plain=True)


def bad(tokens):
    return bearer(tokens.by_python(key=b"x" * 32))


def thumbprint(identity):
    """`x5t#S256` of a certificate (RFC 8705 §3.1)."""
    der = ssl.PEM_cert_to_DER_cert(identity.crt.read_text())
    digest = hashlib.sha256(der).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def main(orders):
    print(f"grpcio {grpc.__version__}")
    print(subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip())
    with tempfile.TemporaryDirectory() as folder:
        pb, services = generated(folder)
        folder = pathlib.Path(folder)
        tokens = Tokens(orders, folder)
        ca, other = Identity(folder, "ca", ca=True), Identity(folder, "another-ca", ca=True)
        server = Identity(folder, "server", ca, names="DNS:localhost")
        uri = f"URI:{BILLING}"
        escaped = BILLING.replace("/", r"\/")
        made = {
            "billing": (ca, uri),
            "billing-2": (ca, uri),
            "reports": (ca, "URI:spiffe://prod.example/reports"),
            "elsewhere": (ca, "URI:spiffe://dev.example/billing/api"),
            "two": (ca, f"{uri},URI:spiffe://prod.example/reports"),
            "common-name": (ca, "", f"CN={escaped}"),
            "expired": (ca, uri, "", -1),
            "of-another-ca": (other, uri),
        }
        identities = {name: issued(folder, name, *how) for name, how in made.items()}
        flags = ["--tls-cert", server.crt, "--tls-key", server.key, "--client-ca", ca.crt]
        flags = list(map(str, flags))
        clients = Clients(folder, ca, services.OrderServiceStub, pb.ListOrdersRequest())
        by_certificate(clients, orders, flags, identities)
        by_both(clients, orders, flags, identities, tokens)
        by_header(clients, orders)


if __name__ == "__main__":
    main(sys.argv[1])
