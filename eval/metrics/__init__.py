"""Metrics over records and texts; `catalog` names them, `hf_metrics` offers them to the evaluate library."""
