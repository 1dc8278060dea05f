"""``kind: xgboost``: gradient-boosted trees."""
