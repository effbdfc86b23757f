"""What `make bench` is made of; scripts/bench.py puts it together."""
