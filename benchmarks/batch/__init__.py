"""What the daily parse costs."""
