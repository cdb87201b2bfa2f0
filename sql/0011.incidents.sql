-- Incidents as the stream keeps them: outlier windows of a keyword, at most a day apart, are one incident.
-- depends: 0010.baseline-tables

ALTER TABLE incidents
    DROP CONSTRAINT incidents_keyword_opened_at_key,
    ADD COLUMN last_at       timestamptz NOT NULL, -- start of the last outlier window
    ADD COLUMN severity      text        NOT NULL,
    ADD COLUMN status        text        NOT NULL CHECK (status IN ('provisional', 'confirmed')),
    ADD COLUMN kind          text        NOT NULL DEFAULT 'surge' CHECK (kind IN ('surge', 'drop')),
    ADD COLUMN peak_mentions bigint      NOT NULL,
    ADD COLUMN peak_expected double precision NOT NULL,
    ADD COLUMN updated_at    timestamptz NOT NULL DEFAULT now(),
    ALTER COLUMN shape SET NOT NULL,
    ADD CHECK (state IN ('open', 'closed', 'retracted')),
    ADD CHECK (shape IN ('pulse', 'ramp_up', 'mean_shift'));
CREATE INDEX incidents_by_keyword ON incidents (keyword, last_at);
CREATE INDEX incidents_by_time ON incidents (opened_at DESC);
CREATE INDEX incidents_open ON incidents (last_at) WHERE state = 'open';

COMMENT ON COLUMN incidents.opened_at IS 'start of the first outlier window';
COMMENT ON COLUMN incidents.closed_at IS 'end of the last outlier window, once none can follow within the gap of a day';
COMMENT ON COLUMN incidents.state IS 'retracted: none of its outliers holds any more, or it has become part of another';
