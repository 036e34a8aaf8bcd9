"""The scikit-learn estimator: the steps of the workflow on a table in memory."""
