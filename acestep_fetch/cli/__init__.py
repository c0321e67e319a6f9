"""Arguments in, exit code out. One module per subcommand; `main` picks it and prints what it raises."""
