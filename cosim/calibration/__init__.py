"""Global fits: constants of a model from published data, written as part files by a command."""
