"""The embedded stack: Kafka, Flink, Postgres and S3 as plain processes of one machine, without Docker.

``python -m local up`` starts it, ``down`` stops it; see ``python -m local --help``.
"""
