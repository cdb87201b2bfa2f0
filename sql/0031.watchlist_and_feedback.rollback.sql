DROP TABLE feedback;
ALTER TABLE watchlist DROP COLUMN watch_id, DROP COLUMN list, DROP COLUMN updated_at;
REVOKE ALL ON incidents, watchlist FROM tiktok_editor_role;
REVOKE USAGE ON SCHEMA public FROM tiktok_editor_role;
