REVOKE ALL ON incidents, outliers, posts, watchlist FROM tiktok_alerts_role;
REVOKE USAGE ON SCHEMA public FROM tiktok_alerts_role;
DROP TABLE alert_outbox, alert_mutes, alert_channels;

