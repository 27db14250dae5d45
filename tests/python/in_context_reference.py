"""Real numbers in context in numpy: the six numbers of the reduced model of an induction head, trained, and predictors of affine recurrences.

    pip install numpy
    python tests/python/in_context_reference.py phases [seed ...]     growth time of w, G4 loss times t, when the losses pass 1 %
    python tests/python/in_context_reference.py affine                squared errors of the references

Written from the same description as the program and without looking at it: gradients by hand in double precision, batches of 256 fresh
sequences, p1 = infinity (y_s = x_{s-1}), wq = wk = w.
"""

import sys

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def target(x, alpha, w):
    """x [row, L]; the two targets, [row] each."""
    keys, values = x[:, :-2], x[:, 1:-1]
    weights = softmax(w**2 * x[:, -1:] * keys)
    return alpha / (1 + alpha) * x[:, -3], (weights * values).sum(-1) / (1 + alpha)


def step(x, six, alpha, target_w):
    """Losses (half the squared errors) and gradients of p2, g1, w, g2."""
    p2, g1, w, g2 = six
    length = x.shape[1]
    want1, want2 = target(x, alpha, target_w)
    keys, values = x[:, :-2], x[:, 1:-1]
    distance = np.arange(length - 3, -1, -1.0)
    near = softmax(-p2 * distance)
    out1 = keys @ near
    off1 = g1 * out1 - want1
    slope_p2 = keys @ (near * (-(distance - near @ distance)))
    logits = x[:, -1:] * keys
    alike = softmax(w**2 * logits)
    out2 = (alike * values).sum(-1)
    off2 = g2 * out2 - want2
    mean = (alike * logits).sum(-1, keepdims=True)
    slope_w = 2 * w * (alike * (logits - mean) * values).sum(-1)
    gradients = [off1 * g1 * slope_p2, off1 * out1, off2 * g2 * slope_w, off2 * out2]
    return (off1**2).mean() / 2, (off2**2).mean() / 2, np.array([g.mean() for g in gradients])


def growth_time(times, ws, low, high):
    """1 / slope of ln w while w is between two values."""
    chosen = (ws > low) & (ws < high)
    return 1 / np.polyfit(times[chosen], np.log(ws[chosen]), 1)[0]


def phases(seed, length=40, start=0.01, alpha=1.0, w=0.49, steps=3000):
    rng = np.random.default_rng(seed)
    held = rng.standard_normal((1024, length))
    six = np.full(4, start)
    rows = []
    for t in range(steps):
        if t % 5 == 0:
            rows.append((t, *step(held, six, alpha, w)[:2], *six))
        six = six - step(rng.standard_normal((256, length)), six, alpha, w)[2]
    rows = np.array(rows)
    t, g4, ih = rows[:, 0], rows[:, 1] / rows[0, 1], rows[:, 2] / rows[0, 2]
    below = lambda x, share: t[np.argmax(x < share)]
    at = lambda x, when: x[np.searchsorted(t, when)]
    print(
        f"seed {seed}: growth time {growth_time(t, rows[:, 5], 0.03, 0.1):.0f}; "
        f"G4 at 400, 1000, 2000 times t: {400 * at(g4, 400):.2f} {1000 * at(g4, 1000):.2f} {2000 * at(g4, 2000):.2f}; "
        f"IH at 300: {at(ih, 300):.4f}; G4 < 1 % at {below(g4, 0.01):.0f}, IH < 1 % at {below(ih, 0.01):.0f}"
    )


def affine(rows=4096, length=32, penalty=0.01):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, rows), rng.uniform(-1, 1, rows)
    x = [rng.standard_normal(rows)]
    for _ in range(length):
        x.append(a * x[-1] + b)
    x = np.stack(x, 1).astype(np.float32).astype(float)
    errors = {"copy_last": [], "line": [], "ridge": [], "exact": []}
    for n in range(2, length):
        last, wanted = x[:, n], x[:, n + 1]
        before, now = x[:, n - 1] - x[:, n - 2], last - x[:, n - 1]
        safe = np.where(before == 0, 1, before)
        exact = np.where(before == 0, last, last + now / safe * now)
        design = np.stack([x[:, :n], np.ones((rows, n))], -1)
        moments = np.einsum("rni,rnj->rij", design, design) + penalty * np.eye(2)
        right = np.einsum("rni,rn->ri", design, x[:, 1 : n + 1])
        fit = np.linalg.solve(moments, right[..., None])[..., 0]
        guesses = [last, 2 * last - x[:, n - 1], fit[:, 0] * last + fit[:, 1], exact]
        for name, guess in zip(errors, guesses):
            errors[name].append(((guess - wanted) ** 2).mean())
    for name, by_length in errors.items():
        print(f"{name}: {np.mean(by_length):.3e}; at 3, 5, 10, 32 numbers: " + " ".join(f"{by_length[i]:.2e}" for i in [0, 2, 7, 29]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["affine"]:
        affine()
    else:
        for seed in map(int, sys.argv[2:] or ["0", "1", "2"]):
            phases(seed)
