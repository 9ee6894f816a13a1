"""The subcommands of `deepfashion`: the options of each, and the function that it calls."""
