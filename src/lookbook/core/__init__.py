"""What every other package needs: files, templates, translation, the environment."""
