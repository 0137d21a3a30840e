"""Alerts: rules, evaluation, notification, acknowledgement and the retraining policy."""
