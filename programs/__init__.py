"""What every main program of the project shares: errors a user can put right, how it starts and ends, its Postgres.

Nothing here knows Beam, so the dashboard and the alerts start without it.
"""
