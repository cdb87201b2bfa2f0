DROP INDEX alert_outbox_digest;
ALTER TABLE alert_outbox DROP COLUMN digest;
