"""What a config may say, and where a run goes."""
