-- A surge and a drop of one keyword may go on at the same time: what people say of them is kept apart.
-- depends: 0053.keyword_prefixes

ALTER TABLE feedback ADD COLUMN kind text NOT NULL DEFAULT 'surge' CHECK (kind IN ('surge', 'drop'));
UPDATE feedback f SET kind = i.kind FROM incidents i
    WHERE i.keyword = f.keyword AND i.opened_at = f.opened_at AND i.kind = 'drop' AND i.state <> 'retracted';
ALTER TABLE feedback
    ALTER COLUMN kind DROP DEFAULT,
    DROP CONSTRAINT feedback_pkey,
    ADD PRIMARY KEY (keyword, kind, opened_at);
