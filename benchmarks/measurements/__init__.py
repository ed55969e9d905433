"""The measurements that `python -m benchmarks NAME` runs, and some that have a command of their own."""
