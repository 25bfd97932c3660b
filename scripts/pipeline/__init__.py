"""A recipe from data to records and scores, stage by stage."""
