"""The only code that imports the HTTP libraries. Its modules are imported when a run first needs the network."""
