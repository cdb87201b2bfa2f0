"""Alerts: new incidents, and what becomes of them, to a signed webhook, to Slack and by e-mail.

``python -m alerts`` runs the service; see ``python -m alerts --help``.
"""
