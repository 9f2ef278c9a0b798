"""Makes tokens with two other implementations, and writes them to standard output as JSON.

    pip install "PyJWT[crypto]==2.15.1" joserfc==1.8.0
    python make.py > tokens.json

Each run makes new keys, of which only the public halves (and the shared secret) are written.
"""

import json

import jwt
from joserfc import jwe
from joserfc import jws as joserfc_jws
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://id.example",
    "aud": ["billing", "orders"],
    "sub": "alice",
    "iat": NOW - 10,
    "exp": NOW + 300,
    "scope": "orders.read orders.write",
    "name": "Zoë 訂單",
}

secret = OctKey.generate_key(512, {"kid": "secret"})
rsa = RSAKey.generate_key(2048, {"kid": "rsa"})
curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
ec = {alg: ECKey.generate_key(curve, {"kid": alg}) for alg, curve in curves.items()}
ed = OKPKey.generate_key("Ed25519", {"kid": "ed"})

keys = {alg: secret for alg in ("HS256", "HS384", "HS512")}
keys |= {alg: rsa for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")}
keys |= ec
keys |= {"EdDSA": ed, "Ed25519": ed}

good, bad = [], []


def by_pyjwt(alg, claims, headers=None):
    key = keys[alg]
    material = key.raw_value if key is secret else key.private_key
    return jwt.encode(claims, material, algorithm=alg, headers={"kid": key.kid} | (headers or {}))


def by_joserfc(alg, claims, headers=None):
    header = {"alg": alg, "typ": "JWT", "kid": keys[alg].kid} | (headers or {})
    return joserfc_jwt.encode(header, claims, keys[alg], algorithms=[alg])


def public(alg):
    key = keys[alg].as_dict(private=keys[alg] is secret)
    name = "EdDSA" if alg == "Ed25519" else alg
    return {k: v for k, v in key.items() if k not in ("d", "p", "q", "dp", "dq", "qi")} | {"alg": name}


def add(to, by, what, alg, token, check=None):
    entry = {"by": by, "what": what, "key": public(alg), "token": token}
    to.append(entry | ({"check": check} if check else {}))


for alg in keys:
    if alg != "Ed25519":
        add(good, "PyJWT", alg, alg, by_pyjwt(alg, CLAIMS))
    add(good, "joserfc", alg, alg, by_joserfc(alg, CLAIMS))

for by, encode in (("PyJWT", by_pyjwt), ("joserfc", by_joserfc)):
    for typ in ("at+jwt", "application/at+jwt"):
        add(good, by, f"typ {typ}", "ES256", encode("ES256", CLAIMS, {"typ": typ}))
    add(good, by, "fractional dates", "ES256",
        encode("ES256", CLAIMS | {"exp": NOW + 0.5, "iat": NOW - 0.25, "nbf": NOW - 0.5}))
    for what, changed, check in (
        ("expired", {"exp": NOW - 61}, "exp"),
        ("not yet", {"nbf": NOW + 61}, "nbf"),
        ("other audience", {"aud": "billing"}, "aud"),
        ("other issuer", {"iss": "https://id.example/"}, "iss"),
        ("bound", {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "cnf"),
    ):
        add(bad, by, what, "ES256", encode("ES256", CLAIMS | changed), check)
    for name in ("exp", "aud", "iss"):
        claims = {k: v for k, v in CLAIMS.items() if k != name}
        add(bad, by, f"no {name}", "ES256", encode("ES256", claims), name)
    add(bad, by, "typ of an ID token", "ES256", encode("ES256", CLAIMS, {"typ": "id+jwt"}), "typ")

add(bad, "PyJWT", "none", "ES256", jwt.encode(CLAIMS, None, algorithm="none"), "format")
add(bad, "PyJWT", "critical", "ES256", by_pyjwt("ES256", CLAIMS, {"crit": ["x"], "x": 1}), "crit")

payload = json.dumps(CLAIMS)
header = {"alg": "ES256", "b64": False, "crit": ["b64"]}
unencoded = joserfc_jws.serialize_compact(header, "no-claims", ec["ES256"])
add(bad, "joserfc", "payload not encoded", "ES256", unencoded, "crit")
member = {"protected": {"alg": "ES256", "kid": "ES256"}}
text = json.dumps(joserfc_jws.serialize_json(member, payload, ec["ES256"]), separators=(",", ":"))
add(bad, "joserfc", "JSON serialisation", "ES256", text, "b64token")
header = {"alg": "ECDH-ES+A128KW", "enc": "A128GCM"}
add(bad, "joserfc", "encrypted", "ES256", jwe.encrypt_compact(header, payload, ec["ES256"]), "format")

print(json.dumps({"now": NOW, "good": good, "bad": bad}, indent=1, ensure_ascii=False))
