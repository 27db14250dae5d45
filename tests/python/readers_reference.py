"""Logistic regression and LEACE on a small made-up data set: the numbers that tests/it/fit.rs holds ours against.

    pip install numpy scipy
    python tests/python/readers_reference.py

The regression minimises with scipy's BFGS; LEACE is written from its formula with numpy's own eigenvalues and pseudo-inverse.
"""

import numpy as np
import scipy
from scipy.optimize import minimize

COUNT, DIM, CLASSES, DECAY, RIDGE = 60, 4, 3, 0.01, 1e-5


def data():
    i, d = np.arange(COUNT)[:, None], np.arange(DIM)[None, :]
    labels = (np.arange(COUNT) * 7) % 11 % CLASSES
    x = np.sin(i * 1.7 + d * 2.3) + 0.5 * np.cos(i * 0.9 * (d + 1)) + 0.8 * (labels[:, None] == d)
    return x.astype(np.float32).astype(float), labels


def regression(x, labels):
    mean, deviation = x.mean(0), x.std(0)
    z = np.hstack([(x - mean) / deviation, np.ones((COUNT, 1))])
    truth = np.eye(CLASSES)[labels]

    def loss(w):
        w = w.reshape(CLASSES, DIM + 1)
        scores = z @ w.T
        log_sum = scipy.special.logsumexp(scores, axis=1)
        value = np.mean(log_sum - scores[np.arange(COUNT), labels]) + DECAY / 2 * np.sum(w**2)
        residual = np.exp(scores - log_sum[:, None]) - truth
        return value, (residual.T @ z / COUNT + DECAY * w).ravel()

    start = np.zeros(CLASSES * (DIM + 1))
    w = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-10}).x
    w = w.reshape(CLASSES, DIM + 1)
    weight = w[:, :DIM] / deviation
    return weight, w[:, DIM] - weight @ mean


def leace(x, labels):
    mean = x.mean(0)
    z = np.eye(CLASSES)[labels]
    xx = (x - mean).T @ (x - mean) / COUNT + RIDGE * np.eye(DIM)
    xz = (x - mean).T @ (z - z.mean(0)) / COUNT
    values, vectors = np.linalg.eigh(xx)
    whiten = vectors @ np.diag(values**-0.5) @ vectors.T
    white = whiten @ xz
    projector = white @ np.linalg.pinv(white, rcond=1e-6)
    return np.linalg.pinv(whiten) @ projector @ whiten


np.set_printoptions(precision=6, suppress=True, linewidth=100)
print("numpy", np.__version__, "scipy", scipy.__version__)
x, labels = data()
weight, bias = regression(x, labels)
print("weight", weight, "bias", bias, sep="\n")
print("leace", leace(x, labels), sep="\n")
