-- What an incident tells of itself beside when it was. Each column may be there already.
-- depends: 0001.schema

ALTER TABLE incidents
    ADD COLUMN IF NOT EXISTS last_at       timestamptz, -- start of the last window that belongs to it
    ADD COLUMN IF NOT EXISTS severity      text        NOT NULL DEFAULT 'low',
    ADD COLUMN IF NOT EXISTS status        text        NOT NULL DEFAULT 'provisional',
    ADD COLUMN IF NOT EXISTS kind          text        NOT NULL DEFAULT 'surge',
    ADD COLUMN IF NOT EXISTS peak_mentions bigint,
    ADD COLUMN IF NOT EXISTS peak_expected double precision,
    ADD COLUMN IF NOT EXISTS updated_at    timestamptz NOT NULL DEFAULT now();
