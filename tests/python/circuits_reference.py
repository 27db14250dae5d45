"""The circuits of a head of a small made-up network: the numbers that tests/it/circuits.rs holds ours against.

    pip install numpy
    python tests/python/circuits_reference.py

Everything is written out with whole matrices, E W_Q W_K^T E^T and so on, in double precision; norms are applied as C diag(weight), and what
they divide by is the mean over the positions of the sequence of its inverse. Eigenvalues are numpy's, of the whole V x V matrix.
"""

import numpy as np

VOCAB, LENGTH, WIDTH, HEADS, LAYERS = 5, 3, 8, 2, 2
DIM = WIDTH // HEADS
SEQUENCE = [4, 1, 2]
LAYER, HEAD = 1, 1


def tensors():
    shapes = {"embed": (VOCAB, WIDTH), "pos": (LENGTH, WIDTH), "unembed": (VOCAB, WIDTH)}
    for norm in ["norm", "layer0.norm1", "layer1.norm1"]:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (WIDTH,)
    for layer in range(LAYERS):
        for part in "qkvo":
            shapes[f"layer{layer}.w{part}"] = (WIDTH, WIDTH)
            shapes[f"layer{layer}.b{part}"] = (WIDTH,)
    made = {}
    for number, name in enumerate(sorted(shapes)):
        i = np.arange(np.prod(shapes[name]))
        values = 0.3 * np.sin(0.37 * i * i + 1.3 * i + 0.7 * number)
        if "norm" in name and name.endswith("weight"):
            values += 1
        made[name] = values.astype(np.float32).astype(float).reshape(shapes[name])
    return made


def scales(x):
    return 1 / np.sqrt(x.var(-1) + 1e-5)


def norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred * scales(x)[:, None] * w[f"{name}.weight"] + w[f"{name}.bias"]


def heads(w, layer):
    """Matrices [width, dim] of each head, which multiply rows from the right, and biases."""
    for head in range(HEADS):
        part = slice(head * DIM, (head + 1) * DIM)
        q, k, v = (w[f"layer{layer}.w{p}"][part].T for p in "qkv")
        bq, bk, bv = (w[f"layer{layer}.b{p}"][part] for p in "qkv")
        yield q, k, v, w[f"layer{layer}.wo"][:, part].T, bq, bk, bv


def attended(x, w, layer):
    read = norm(x, w, f"layer{layer}.norm1")
    out = x + w[f"layer{layer}.bo"]
    for q, k, v, o, bq, bk, bv in heads(w, layer):
        scores = (read @ q + bq) @ (read @ k + bk).T / np.sqrt(DIM)
        scores[np.triu_indices(len(x), 1)] = -np.inf
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        out = out + pattern @ (read @ v + bv) @ o
    return out


w = tensors()
embed, pos = w["embed"], w["pos"]
centring = np.eye(WIDTH) - 1 / WIDTH
streams = [embed[SEQUENCE] + pos]
for layer in range(LAYERS):
    streams.append(attended(streams[-1], w, layer))
scale, last = scales(streams[LAYER]).mean(), scales(streams[-1]).mean()


def folded(layer):
    name = f"layer{layer}.norm1"
    fold, bias = centring @ np.diag(w[f"{name}.weight"]), w[f"{name}.bias"]
    return [(fold @ q, fold @ k, fold @ v, o, bq + bias @ q, bk + bias @ k) for q, k, v, o, bq, bk, _ in heads(w, layer)]


q, k, v, o, bq, bk = folded(LAYER)[HEAD]
unembed = centring @ np.diag(w["norm.weight"]) @ w["unembed"].T
tokens = (scale * embed @ q + bq, scale * embed @ k + bk)
places = (scale * pos @ q, scale * pos @ k)
score = lambda a, b: a[0] @ b[1].T / np.sqrt(DIM)
ov = scale * embed @ v @ o @ unembed * last


def eigenvalues(matrix):
    found = np.linalg.eigvals(matrix)
    return found[np.argsort(-abs(found))][:DIM]


def copying(layer, head):
    _, _, v, o, _, _ = folded(layer)[head]
    found = eigenvalues(embed @ v @ o @ unembed)
    return (found.sum() / abs(found).sum()).real


def composition(reader, writer):
    size = np.linalg.norm
    q, k, v, o, _, _ = reader
    written = writer[2] @ writer[3]
    qk, ov = q @ k.T, v @ o
    pairs = [(written @ qk, qk), (written @ qk.T, qk), (written @ ov, ov)]
    return [size(product) / (size(written) * size(own)) for product, own in pairs]


np.set_printoptions(precision=6, suppress=True, linewidth=100)
print("numpy", np.__version__)
print("scales", scale, last)
for name, found in [
    ("qk", score(tokens, tokens)),
    ("position_position", score(places, places)),
    ("token_position", score(tokens, places)),
    ("position_token", score(places, tokens)),
    ("ov", ov),
    ("direct", embed @ unembed * last),
    ("eigenvalues", eigenvalues(ov)),
    ("copying", np.array([[copying(l, h) for h in range(HEADS)] for l in range(LAYERS)])),
    ("compositions, by queries, keys and values of each head of layer 0", np.array([composition(folded(1)[HEAD], writer) for writer in folded(0)])),
]:
    print(name, found, sep="\n")
