"""What every other package stands on: files, pages, messages, the environment."""
