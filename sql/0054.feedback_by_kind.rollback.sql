DELETE FROM feedback drop_ USING feedback surge
    WHERE drop_.keyword = surge.keyword AND drop_.opened_at = surge.opened_at AND drop_.kind = 'drop' AND surge.kind = 'surge';
ALTER TABLE feedback DROP CONSTRAINT feedback_pkey, DROP COLUMN kind, ADD PRIMARY KEY (keyword, opened_at);
