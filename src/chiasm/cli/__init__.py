"""The command: parse, ask, print. Nothing heavy is imported before the command line is understood."""
