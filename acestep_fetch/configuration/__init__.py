"""What people can set, and where they can: the table of settings, and the layers in which it is looked for."""
