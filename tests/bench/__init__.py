"""The benchmark suite: ``python -m tests.bench``; see docs/benchmarks.md."""
