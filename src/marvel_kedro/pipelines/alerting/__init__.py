"""The `alerting` pipeline: alerts from metrics, notification and the decision to retrain."""
