"""The roof: studies, their units and store, the registry of names, and the command line."""
