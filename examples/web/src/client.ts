// The client of the server that this page comes from, and the token that it sends.
import { type Interceptor, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { OrderService } from "./gen/orders/v1/orders_pb.ts";

const KEY = "orders-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value: string) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

const withToken: Interceptor = (next) => (request) => {
  const value = token.get();
  if (value) {
    request.header.set("authorization", `Bearer ${value}`);
  }
  return next(request);
};

export const orders = createClient(
  OrderService,
  createConnectTransport({
    baseUrl: location.origin,
    interceptors: [withToken],
    useHttpGet: true,
  }),
);
