"""The command line; `app.main` is its entry point."""
