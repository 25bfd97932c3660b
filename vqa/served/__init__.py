"""Any served model behind the switch of evidence."""
