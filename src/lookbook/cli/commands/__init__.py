"""The commands, in modules of those that belong together: one verb a command."""
