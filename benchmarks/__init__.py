"""Benchmarks: what a step costs, and what quality it buys.

python -m benchmarks run cost
python -m benchmarks run quality --tasks mlp,digits --methods adamw,muon
python -m benchmarks report
"""
