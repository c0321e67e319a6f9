"""The only code that touches the disk. Everything here is synchronous and meant for `storage.threads.Disk`."""
