"""``kind: logistic``: ridge logistic regression."""
