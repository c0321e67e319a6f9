"""What the tests share: made-up repositories, the embedded hub, and faults to put around it."""
