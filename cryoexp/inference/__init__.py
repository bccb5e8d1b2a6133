"""Networks on new data: particles from files, and volumes larger than memory in windows."""
