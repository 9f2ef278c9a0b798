-- Says whose file this is: a database without this mark, and not empty, is somebody else's.
PRAGMA application_id = 1869767794; -- "ordr", `open::APPLICATION_ID`

CREATE TABLE orders (
    -- The order in which they were taken; pages are cut by it.
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    customer_email  TEXT    NOT NULL,
    total_cents     INTEGER NOT NULL CHECK (total_cents >= 0),
    currency        TEXT    NOT NULL,
    idempotency_key TEXT    UNIQUE,
    -- Microseconds since 1970-01-01T00:00:00Z.
    created_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX orders_by_customer ON orders (customer_email, seq);

CREATE TABLE events (
    -- The order in which they happened; watchers go by it.
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id   TEXT    NOT NULL REFERENCES orders (id),
    event_type TEXT    NOT NULL CHECK (event_type IN ('created', 'shipped', 'delivered')),
    -- Microseconds since 1970-01-01T00:00:00Z.
    ts         INTEGER NOT NULL,
    UNIQUE (order_id, event_type)
) STRICT;

CREATE INDEX events_by_order ON events (order_id, seq);
