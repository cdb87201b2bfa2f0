ALTER TABLE incidents
    DROP COLUMN IF EXISTS last_at,
    DROP COLUMN IF EXISTS severity,
    DROP COLUMN IF EXISTS status,
    DROP COLUMN IF EXISTS kind,
    DROP COLUMN IF EXISTS peak_mentions,
    DROP COLUMN IF EXISTS peak_expected,
    DROP COLUMN IF EXISTS updated_at;
