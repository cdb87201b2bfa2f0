"""What a brand strategist uses: an API over Postgres and a web page on top of it.

``python -m dashboard`` serves both; docs/dashboard.md describes them.
"""
