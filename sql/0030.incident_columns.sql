-- What the dashboard shows of an incident besides its opening and peak. The stream keeps these columns up to date.
-- depends: 0001.schema

ALTER TABLE incidents ADD COLUMN IF NOT EXISTS last_at       timestamptz NOT NULL DEFAULT now(); -- its newest outlier window
ALTER TABLE incidents ADD COLUMN IF NOT EXISTS severity      text        NOT NULL DEFAULT 'low';
ALTER TABLE incidents ADD COLUMN IF NOT EXISTS status        text        NOT NULL DEFAULT 'provisional';
ALTER TABLE incidents ADD COLUMN IF NOT EXISTS kind          text        NOT NULL DEFAULT 'surge';
ALTER TABLE incidents ADD COLUMN IF NOT EXISTS peak_mentions bigint      NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN IF NOT EXISTS peak_expected double precision NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN IF NOT EXISTS updated_at    timestamptz NOT NULL DEFAULT now();
