// A certified OpenID provider on loopback, for `tests/jwt_provider.rs`. Prints its address.
// `POST /rotate` makes a new key, which signs from then on; the keys before it stay published.

import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const keys = [];
let provider;

function rotate(issuer) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const kid = `key-${keys.length + 1}`;
  keys.unshift({ ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" });
  provider = new Provider(issuer, {
    jwks: { keys },
    scopes: ["orders.read", "orders.write"],
    clients: [{
      client_id: "shop",
      client_secret: "not-a-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: "client_secret_post",
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:orders",
        getResourceServerInfo: () => ({
          audience: "orders",
          scope: "orders.read orders.write",
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}

const server = createServer((request, response) => {
  if (request.method === "POST" && request.url === "/rotate") {
    rotate(provider.issuer);
    response.end();
  } else {
    provider.callback()(request, response);
  }
});
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  rotate(issuer);
  console.log(issuer);
});
