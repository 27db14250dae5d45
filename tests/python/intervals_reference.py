"""How often 95 % intervals of a mean hold it: Student's beside the percentile bootstrap. The table of docs/causal.md.

    pip install numpy scipy
    python tests/python/intervals_reference.py
"""

import numpy as np
import scipy
from scipy.stats import t

SAMPLES, DRAWS = 8000, 1000
LAWS = {"normal": lambda g, shape: g.normal(size=shape), "exponential": lambda g, shape: g.exponential(size=shape) - 1}

print("numpy", np.__version__, "scipy", scipy.__version__)
print("quantiles", {degrees: float(t.ppf(0.975, degrees)) for degrees in (1, 2, 3, 5, 10, 31, 100, 1000)})
for law, draw in LAWS.items():
    for size in (3, 4, 6, 12, 32):
        generator = np.random.default_rng(0)
        x = draw(generator, (SAMPLES, size))
        half = t.ppf(0.975, size - 1) * x.std(1, ddof=1) / np.sqrt(size)
        students = np.mean(abs(x.mean(1)) <= half)
        held = 0
        for sample in x:
            means = sample[generator.integers(0, size, (DRAWS, size))].mean(1)
            low, high = np.percentile(means, [2.5, 97.5])
            held += low <= 0 <= high
        print(f"{law:12} {size:3}  Student's {students:.3f}  bootstrap {held / SAMPLES:.3f}")
