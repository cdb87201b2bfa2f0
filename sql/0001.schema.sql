-- The tables that pipelines and dashboard share. Names are a contract; ARCHITECTURE.md says who writes what.
-- depends:

CREATE TABLE posts (
    post_id       bigint      NOT NULL,
    posted_at     timestamptz,
    seen_at       timestamptz NOT NULL,
    author_id     text,
    author_name   text,
    text          text,
    keywords      text[]      NOT NULL DEFAULT '{}',
    challenges    text[]      NOT NULL DEFAULT '{}',
    music_id      text,
    comment_count bigint      NOT NULL DEFAULT 0,
    digg_count    bigint      NOT NULL DEFAULT 0,
    share_count   bigint      NOT NULL DEFAULT 0,
    engagement    bigint      GENERATED ALWAYS AS (comment_count + digg_count + share_count) STORED,
    PRIMARY KEY (post_id, seen_at)
) PARTITION BY RANGE (seen_at);

CREATE TABLE keyword_windows (
    keyword      text        NOT NULL,
    window_start timestamptz NOT NULL,
    mentions     bigint      NOT NULL,
    pane         smallint    NOT NULL, -- 0 early, 1 on time, 2 late, 3 completed by the batch
    PRIMARY KEY (keyword, window_start)
) PARTITION BY RANGE (window_start);

CREATE TABLE window_totals (
    window_start timestamptz PRIMARY KEY,
    posts        bigint      NOT NULL,
    pane         smallint    NOT NULL
);

CREATE TABLE keyword_daily (
    date     date   NOT NULL,
    keyword  text   NOT NULL,
    mentions bigint NOT NULL,
    PRIMARY KEY (date, keyword)
);

CREATE TABLE challenge_daily (
    date       date   NOT NULL,
    challenge  text   NOT NULL,
    posts      bigint NOT NULL,
    engagement bigint NOT NULL,
    PRIMARY KEY (date, challenge)
);

CREATE TABLE music_daily (
    date       date   NOT NULL,
    music_id   text   NOT NULL,
    music      text,
    artist     text,
    posts      bigint NOT NULL,
    engagement bigint NOT NULL,
    PRIMARY KEY (date, music_id)
);

-- A version is published by its row here, in the transaction that writes its baselines.
CREATE TABLE baseline_versions (
    version      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    detector     text        NOT NULL,
    history_from timestamptz NOT NULL,
    history_to   timestamptz NOT NULL,
    keywords     bigint      NOT NULL,
    pooled       jsonb       NOT NULL DEFAULT '{}',
    published_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE baselines (
    version    bigint NOT NULL REFERENCES baseline_versions ON DELETE CASCADE,
    keyword    text   NOT NULL,
    level      real   NOT NULL, -- mean mentions per window
    dispersion real   NOT NULL, -- standard deviation of mentions per window
    season     real[],
    tail       real[],
    PRIMARY KEY (version, keyword)
);

CREATE TABLE outliers (
    keyword          text        NOT NULL,
    window_start     timestamptz NOT NULL,
    mentions         bigint      NOT NULL,
    expected         double precision NOT NULL,
    lower            double precision NOT NULL,
    upper            double precision NOT NULL,
    p_value          double precision NOT NULL,
    score            double precision NOT NULL,
    severity         text        NOT NULL,
    status           text        NOT NULL CHECK (status IN ('provisional', 'confirmed', 'retracted')),
    tide             double precision NOT NULL,
    excess           double precision NOT NULL,
    sample_posts     bigint[]    NOT NULL,
    baseline_version bigint      NOT NULL,
    detector         text        NOT NULL,
    pane             smallint    NOT NULL,
    posts            bigint      NOT NULL, -- of the whole platform in the window when the pane fired
    PRIMARY KEY (keyword, window_start)
);
CREATE INDEX outliers_by_time ON outliers (window_start DESC, score DESC);

CREATE TABLE incidents (
    incident_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    keyword      text        NOT NULL,
    opened_at    timestamptz NOT NULL,
    closed_at    timestamptz,
    peak_at      timestamptz NOT NULL,
    peak_score   double precision NOT NULL,
    state        text        NOT NULL,
    shape        text,
    UNIQUE (keyword, opened_at)
);

CREATE TABLE dead_letters (
    topic     text        NOT NULL,
    partition integer     NOT NULL,
    "offset"  bigint      NOT NULL,
    seen_at   timestamptz NOT NULL,
    reason    text        NOT NULL,
    detail    text        NOT NULL,
    raw       bytea       NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE TABLE watchlist (
    keyword  text        PRIMARY KEY,
    note     text,
    added_at timestamptz NOT NULL DEFAULT now()
);

-- Day partitions come into being when a day's first row does. Writers may not create tables, so the function runs as
-- its owner; it takes a date and one of two names, nothing else.
CREATE FUNCTION ensure_day_partition(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
BEGIN
    IF parent NOT IN ('posts', 'keyword_windows') THEN
        RAISE EXCEPTION 'no table partitioned by day: %', parent;
    END IF;
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext(part));
    IF to_regclass(part) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            part, parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
        );
    END IF;
END $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tiktok_writer_role') THEN
        CREATE ROLE tiktok_writer_role NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tiktok_reader_role') THEN
        CREATE ROLE tiktok_reader_role NOLOGIN;
    END IF;
END $$;
REVOKE ALL ON FUNCTION ensure_day_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_day_partition TO tiktok_writer_role;
GRANT USAGE ON SCHEMA public TO tiktok_writer_role, tiktok_reader_role;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO tiktok_writer_role;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tiktok_writer_role;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO tiktok_reader_role;
