"""Alerts: what raises them, their life, whom they reach and how.

`rules`, `lifecycle` and `escalation` decide and are pure; `engine` turns decisions into stored facts and
outbox rows in one transaction; `dispatch` delivers the outbox, one worker per channel.
"""
