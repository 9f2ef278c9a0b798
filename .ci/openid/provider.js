// A certified OpenID provider on a free port of loopback, with one client that gets tokens for itself.
//
// Its first line on standard output is its issuer. It is told what to do by lines on standard input,
// and answers each, once it is done, with the same line:
//
//     rotate   new keys sign from now on; the old ones are still published
//     retire   only the keys that sign are published
//     close    whoever asks is answered 503
//     open     no longer so
//
// It ends with its standard input, so that it does not outlive whoever has started it.

import { generateKeyPair } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import Provider from 'oidc-provider';

// What the client may ask for a token for, who that token is then for, and how it is signed.
const RESOURCES = {
  'urn:test:orders': { audience: 'orders', alg: 'RS256' },
  'urn:test:orders:ec': { audience: 'orders', alg: 'ES256' },
  'urn:test:billing': { audience: 'billing', alg: 'RS256' },
};

const CLIENT = {
  client_id: 'orders-caller',
  client_secret: 'known-to-everybody',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};

// Tokens carry all there is to know of them, and the client is in the configuration.
class KeepsNothing {
  async find() {}
  async upsert() {}
}

async function newKeys() {
  const generate = promisify(generateKeyPair);
  const pairs = await Promise.all([
    generate('rsa', { modulusLength: 2048 }),
    generate('ec', { namedCurve: 'P-256' }),
  ]);
  return pairs.map(({ privateKey }, place) => ({
    ...privateKey.export({ format: 'jwk' }),
    alg: ['RS256', 'ES256'][place],
    use: 'sig',
  }));
}

// Of several keys for an algorithm the first one signs.
function providerWith(issuer, keys) {
  return new Provider(issuer, {
    adapter: KeepsNothing,
    clients: [CLIENT],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(_, resource) {
          const { audience, alg } = RESOURCES[resource];
          const jwt = { sign: { alg } };
          return { accessTokenFormat: 'jwt', audience, jwt, scope: 'orders.read orders.write' };
        },
      },
    },
    jwks: { keys },
    ttl: { ClientCredentials: 300 },
  });
}

// Standard output is for the answers alone.
console.info = console.error;

let [answer, closed] = [undefined, false];
const server = createServer((request, response) => {
  if (closed) {
    response.writeHead(503).end();
  } else {
    answer(request, response);
  }
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

// A provider's keys are fixed: another one takes its place, which tells and signs from the same moment.
const publish = (keys) => {
  answer = providerWith(issuer, keys).callback();
};

let [signing, old] = [await newKeys(), []];
publish(signing);
console.log(issuer);

for await (const line of createInterface({ input: process.stdin })) {
  switch (line) {
    case 'rotate':
      [signing, old] = [await newKeys(), [...signing, ...old]];
      break;
    case 'retire':
      old = [];
      break;
    case 'close':
    case 'open':
      closed = line === 'close';
      break;
    default:
      throw new Error(`what is "${line}"?`);
  }
  publish([...signing, ...old]);
  console.log(line);
}
process.exit();
