"""One folder a task: its loss, its scores, its products."""
