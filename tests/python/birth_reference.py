"""The simplified model of `birth` in JAX, written from its description alone: a second opinion on our curves.

    pip install jax numpy
    python tests/python/birth_reference.py joint 0,1,2,3,4          # as the experiment birth-joint
    python tests/python/birth_reference.py output-first 0,1,2,3,4   # keys frozen, as birth-output-first until step 120
    python tests/python/birth_reference.py output-first 0 a-run     # from the weights of our run (--steps 1) there
                                                                    # (needs safetensors too)

Prints, for each seed, where in-context accuracy passes 0.6 (by linear interpolation between evaluations every 20
steps) and accuracy and recall of W_O2 at each of these. Weights and sequences are numpy's own draws: what agrees with ours are
distributions, not single numbers.
"""

import csv
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

ASSETS = Path(__file__).resolve().parents[2] / "assets"
TOKENS, TRIGGERS, LENGTH, WIDTH, BATCH, SHARD = 65, 5, 256, 128, 128, 32
RATE, MOMENTUM, DECAY = 0.2, 0.9, 1e-4


def counts(name: str) -> list[list[str]]:
    with open(ASSETS / name, newline="") as file:
        return list(csv.reader(file))[1:]


BIGRAMS = np.array([row[1:-1] for row in counts("shakespeare_bigrams.csv")[:TOKENS]], float)
UNIGRAMS = np.array([row[2] for row in counts("shakespeare_unigrams.csv")[:TOKENS]], float)
FREQUENT = np.argsort(UNIGRAMS)[-TRIGGERS:]


def sequences(rng, rows):
    """Tokens, targets and occurrence numbers, each `[rows, LENGTH]`."""
    outputs = np.full((rows, TOKENS), -1)
    outputs[:, FREQUENT] = rng.integers(0, TOKENS, (rows, TRIGGERS))
    before = np.cumsum(BIGRAMS, 1)
    z = np.zeros((rows, LENGTH + 1), int)
    z[:, 0] = rng.choice(TOKENS, rows, p=UNIGRAMS / UNIGRAMS.sum())
    for t in range(LENGTH):
        now = z[:, t]
        drawn = (before[now] <= rng.random(rows)[:, None] * before[now][:, -1:]).sum(1)
        output = outputs[np.arange(rows), now]
        z[:, t + 1] = np.where(output >= 0, output, np.minimum(drawn, TOKENS - 1))
    tokens = z[:, :-1]
    occurrence = sum((tokens == k) * np.cumsum(tokens == k, 1) for k in FREQUENT)
    return tokens, z[:, 1:], occurrence


def logits(trained, frozen, tokens):
    causal = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))

    def attended(x, keys):
        scores = jnp.einsum("btd,bsd->bts", x, x @ keys.T) / np.sqrt(WIDTH)
        return jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), -1) @ x

    x = frozen["embed"][tokens] + frozen["pos"]
    x = x + attended(x, trained["wk1"]) @ frozen["wv1"].T @ frozen["wo1"].T
    x = x + attended(x, trained["wk2"]) @ frozen["wv2"].T @ trained["wo2"].T
    return x @ frozen["unembed"].T


def loss(trained, frozen, tokens, targets, weight):
    logs = jax.nn.log_softmax(logits(trained, frozen, tokens), -1)
    return -(jnp.take_along_axis(logs, targets[..., None], -1)[..., 0] * weight).sum()


gradient = jax.jit(jax.grad(loss))
right = jax.jit(lambda t, f, x, y, w: ((logits(t, f, x).argmax(-1) == y) * w).sum())


def repeated(occurrence):
    return ((occurrence >= 2) / (occurrence >= 2).sum()).astype(np.float32)


def recall(trained, frozen):
    scores = frozen["unembed"] @ np.asarray(trained["wo2"]) @ frozen["wv2"] @ frozen["embed"].T
    return float((scores.argmax(0) == np.arange(TOKENS)).mean())


OURS = {"wk1": "layer0.wk", "wk2": "layer1.wk", "wo2": "layer1.wo", "wv1": "layer0.wv", "wo1": "layer0.wo", "wv2": "layer1.wv"}


def of_run(folder, names):
    """The tensors of a run folder's checkpoint."""
    from safetensors.numpy import load_file

    tensors = load_file(Path(folder) / "checkpoint.safetensors")
    return {name: tensors["weights/" + OURS.get(name, name)] for name in names}


def train(seed, steps, frozen_keys, folder=None):
    rng, bound = np.random.default_rng(1000 + seed), 1 / np.sqrt(WIDTH)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    uniform = lambda *shape: rng.uniform(-bound, bound, shape).astype(np.float32)
    square = (WIDTH, WIDTH)
    frozen = {"embed": normal(TOKENS, WIDTH), "pos": normal(LENGTH, WIDTH), "unembed": uniform(TOKENS, WIDTH)}
    frozen |= {name: uniform(*square) for name in ("wv1", "wo1", "wv2")}
    trained = {name: uniform(*square) for name in ("wk1", "wk2", "wo2")}
    if folder is not None:
        frozen, trained = of_run(folder, frozen), of_run(folder, trained)
    velocity = {name: np.zeros(square, np.float32) for name in trained}
    held_out = sequences(np.random.default_rng(0), 128)
    moving = ["wo2"] if frozen_keys else list(trained)
    curve = []
    for step in range(steps + 1):
        if step % 20 == 0:
            x, y, occurrence = held_out
            accuracy = float(right(trained, frozen, x, y, repeated(occurrence)))
            curve.append((step, round(accuracy, 3), round(recall(trained, frozen), 3)))
        x, y, occurrence = sequences(rng, BATCH)
        weight = repeated(occurrence)
        parts = [gradient(trained, frozen, *(a[i : i + SHARD] for a in (x, y, weight))) for i in range(0, BATCH, SHARD)]
        for name in moving:
            slope = sum(part[name] for part in parts) + DECAY * trained[name]
            velocity[name] = MOMENTUM * velocity[name] + slope
            trained[name] = trained[name] - RATE * velocity[name]
    return curve


def crossing(curve):
    for (a, low, _), (b, high, _) in zip(curve, curve[1:]):
        if low < 0.6 <= high:
            return round(a + (b - a) * (0.6 - low) / (high - low), 1)
    return None


def main():
    joint = sys.argv[1] == "joint"
    folder = sys.argv[3] if len(sys.argv) > 3 else None
    for seed in map(int, sys.argv[2].split(",")):
        curve = train(seed, 140 if joint else 120, frozen_keys=not joint, folder=folder)
        print(f"seed {seed}: passes 0.6 at {crossing(curve)}; step, accuracy, recall of W_O2: {curve}", flush=True)


if __name__ == "__main__":
    main()
