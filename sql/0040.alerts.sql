-- The outbox of alerts, what is muted, and a login of its own for the service that sends.
-- depends: 0032.dashboard_indexes

-- A channel is told of incidents that changed after it came into use: no backlog on the first day.
CREATE TABLE alert_channels (
    channel text        PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE alert_mutes (
    keyword    text        PRIMARY KEY,
    until      timestamptz, -- null: until it is taken away
    reason     text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One row per incident, channel and stage: what was told, and what is still to be.
CREATE TABLE alert_outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id  uuid        NOT NULL UNIQUE DEFAULT gen_random_uuid(), -- the same in each attempt
    incident_id bigint      NOT NULL, -- no foreign key: what was sent outlives the incident
    channel     text        NOT NULL REFERENCES alert_channels,
    event       text        NOT NULL CHECK (event IN ('opened', 'confirmed', 'closed', 'retracted')),
    stage       text        NOT NULL CHECK (stage IN ('opened', 'confirmed', 'closed', 'retracted')), -- of the snapshot
    keyword     text        NOT NULL,
    severity    text        NOT NULL,
    incident    jsonb       NOT NULL, -- the snapshot that the message is made of
    incident_at timestamptz NOT NULL, -- updated_at of the snapshot
    state       text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed', 'muted')),
    attempts    integer     NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(), -- while an attempt is under way: when it counts as lost
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    error       text,
    UNIQUE (incident_id, channel, stage)
);
CREATE INDEX alert_outbox_due ON alert_outbox (channel, due_at, id) WHERE state = 'pending';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tiktok_alerts_role') THEN
        CREATE ROLE tiktok_alerts_role NOLOGIN;
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tiktok_alerts_role;
GRANT SELECT ON incidents, outliers, posts, watchlist TO tiktok_alerts_role;
GRANT SELECT, INSERT ON alert_channels TO tiktok_alerts_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON alert_outbox, alert_mutes TO tiktok_alerts_role;
GRANT SELECT ON alert_channels, alert_outbox, alert_mutes TO tiktok_reader_role, tiktok_writer_role;
