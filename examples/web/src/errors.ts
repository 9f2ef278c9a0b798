// What an error means for the user of this page.
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.ts";

/** Whether the call failed because the server requires another token. */
export function needsToken(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
}

/** Whether the same call may succeed later. */
export function isTemporary(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  // A connection that was lost has the code Unknown, and so has a server that cannot be reached.
  return [Code.Unavailable, Code.ResourceExhausted, Code.Aborted, Code.Unknown].includes(code);
}

/** The error in a sentence. */
export function describe(error: unknown): string {
  const failure = ConnectError.from(error);
  const text = failure.rawMessage;
  switch (failure.code) {
    case Code.Unauthenticated:
      return `The server did not accept the token: ${text}.`;
    case Code.PermissionDenied:
      return `This token does not allow that: ${text}.`;
    case Code.ResourceExhausted:
      return `Too many calls${wait(failure)}.`;
    case Code.DeadlineExceeded:
      return "The server took too long.";
    case Code.Unavailable:
      return `The server is not available: ${text}.`;
    case Code.Unknown:
      return `The server cannot be reached, or the connection was lost: ${text}.`;
    default:
      return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  }
}

/** What is wrong with each field, by the name of the field in the proto. */
export function violations(error: unknown): Map<string, string> {
  const found = new Map<string, string>();
  for (const detail of ConnectError.from(error).findDetails(BadRequestSchema)) {
    for (const { field, description } of detail.fieldViolations) {
      found.set(field, `It ${description}.`);
    }
  }
  return found;
}

function wait(error: ConnectError): string {
  const [info] = error.findDetails(RetryInfoSchema);
  const delay = info?.retryDelay;
  if (!delay) {
    return "";
  }
  const seconds = Math.ceil(Number(delay.seconds) + delay.nanos / 1e9);
  return `; try again in ${seconds} s`;
}
