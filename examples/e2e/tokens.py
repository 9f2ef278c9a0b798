"""Tokens of a development key: of `orders token`, and of PyJWT, which nobody here wrote."""

import json
import pathlib
import subprocess
import time

import jwt

READ, WRITE = "orders.read", "orders.write"


class Tokens:
    """Makes tokens, once `orders serve` has made the key."""

    def __init__(self, orders, folder):
        self.orders = orders
        self.path = pathlib.Path(folder) / "dev-key"
        self.flags = ("--dev-key", str(self.path))

    def by_orders(self, *scopes):
        scopes = [argument for scope in scopes for argument in ("--scope", scope)]
        command = [self.orders, "token", *self.flags, *scopes]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return printed.removesuffix("\n")

    def by_python(self, algorithm="HS256", key=None, **claims):
        """A good one of both scopes; a claim that is given is another, and one that is None is left out."""
        own = json.loads(self.path.read_text())
        key = jwt.PyJWK(own).key if key is None else key
        good = {"iss": "orders-dev", "aud": "orders", "sub": "python", "exp": time.time() + 600}
        claims = good | {"scope": f"{READ} {WRITE}"} | claims
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm, {"kid": own["kid"]})

    def read(self, token):
        """The claims of a token, as PyJWT believes them."""
        key = jwt.PyJWK(json.loads(self.path.read_text()))
        required = {"require": ["exp", "iat", "iss", "sub"]}
        return jwt.decode(token, key, ["HS256"], required, audience="orders", issuer="orders-dev")
