// Amounts and times as people write them.
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** An amount in hundredths, such as "1,234.50 EUR". */
export function amount(cents: bigint, currency: string): string {
  const hundredths = (cents % 100n).toString().padStart(2, "0");
  return `${(cents / 100n).toLocaleString("en")}.${hundredths} ${currency}`;
}

/** The hundredths of an amount such as "12", "12.5" or "12,50"; undefined if it is none. */
export function cents(text: string): bigint | undefined {
  const parts = /^(\d{1,16})(?:[.,](\d{1,2}))?$/.exec(text.trim());
  if (!parts) {
    return undefined;
  }
  return BigInt(parts[1] ?? "") * 100n + BigInt((parts[2] ?? "").padEnd(2, "0"));
}

/** A time in the time zone of the browser. */
export function time(timestamp: Timestamp | undefined): string {
  return timestamp ? timestampDate(timestamp).toLocaleString() : "";
}
