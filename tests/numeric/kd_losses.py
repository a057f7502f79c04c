#!/usr/bin/env python3
"""Losses of kd.loss on one small batch, in NumPy, straight from the papers' formulas with loops over
samples and classes: the numbers that tests/unit/losses.c holds. Run as `python3 kd_losses.py`."""
import numpy as np

ROWS, CLASSES = 4, 5
x = np.array([[3 * np.sin((10 * b + k) * 12.9898) for k in range(10)] for b in range(ROWS)])
s, t = x[:, :CLASSES], x[:, CLASSES:]
u = x[:, 2:2 + CLASSES]  # a second teacher's
y = [(2 * b + 1) % CLASSES for b in range(ROWS)]


def probabilities(z):
    return np.array([np.exp(row) / np.exp(row).sum() for row in z])


def kl(p, q):
    return sum(a * np.log(a / b) for a, b in zip(p, q))


def mean_kl(p, q):
    return np.mean([kl(a, b) for a, b in zip(p, q)])


def smoothed(eps):
    q, total = probabilities(s), 0
    for b in range(ROWS):
        for c in range(CLASSES):
            total -= ((1 - eps) * (c == y[b]) + eps / CLASSES) * np.log(q[b, c])
    return total / ROWS


def standardised(temperature):
    def z(v):
        return np.array([(row - row.mean()) / (row.std(ddof=1) + 1e-7) for row in v])
    return temperature**2 * mean_kl(probabilities(z(t) / temperature),
                                    probabilities(z(s) / temperature))


def dkd(alpha, beta, temperature):
    p, q, total = probabilities(t / temperature), probabilities(s / temperature), 0
    for b in range(ROWS):
        others = [c for c in range(CLASSES) if c != y[b]]
        pt, qt = p[b, y[b]], q[b, y[b]]
        total += alpha * kl([pt, 1 - pt], [qt, 1 - qt])
        total += beta * kl(p[b, others] / (1 - pt), q[b, others] / (1 - qt))
    return temperature**2 * total / ROWS


def dist(beta, gamma, temperature):
    p, q = probabilities(t / temperature), probabilities(s / temperature)
    rows = np.mean([1 - np.corrcoef(p[b], q[b])[0, 1] for b in range(ROWS)])
    columns = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(CLASSES)])
    return temperature**2 * (beta * rows + gamma * columns)


def ensemble(join, w):
    """KL from the join of two teachers' distributions, shares w and 1 - w."""
    total, q = 0, probabilities(s)
    for b in range(ROWS):
        p = join(t[b], u[b], w)
        total += kl(p, q[b])
    return total / ROWS


def of_logits(z1, z2, w):
    return probabilities(np.array([w * z1 + (1 - w) * z2]))[0]


def arithmetic(z1, z2, w):
    p = probabilities(np.array([z1, z2]))
    return w * p[0] + (1 - w) * p[1]


# Networks with hidden layers: cut = tanh of five inputs, logits cut (1 + sum of cut), map = tanh of n
# inputs as [n / 2 channels, 1, 2 pixels].
def cut(v):
    return np.tanh(v)


def logits(v):
    return cut(v) * (1 + cut(v).sum())


map_s, map_t = np.tanh(x[:, 0:4]).reshape(ROWS, 2, 2), np.tanh(x[:, 2:10]).reshape(ROWS, 4, 2)
parameter = [np.cos(7 * k) / 2 for k in range(25)]


def half_squares(difference):
    return np.mean([0.5 * sum(d**2 for d in difference(b).flat) for b in range(ROWS)])


def hint(b):
    return cut(t[b]) - cut(s[b])


def regressed(b):
    h, like = cut(s[b]), cut(t[b])
    return np.array([like[n] - sum(parameter[5 * n + k] * h[k] for k in range(5)) - parameter[n]
                     for n in range(5)])


def convolved(b):
    return np.array([[map_t[b, n, p] - sum(parameter[2 * n + c] * map_s[b, c, p] for c in range(2))
                      - parameter[n] for p in range(2)] for n in range(4)])


def attention_map(a):
    q = np.array([sum(a[c, p]**2 for c in range(a.shape[0])) for p in range(a.shape[1])])
    return q / np.linalg.norm(q)


def attention(b):
    return attention_map(map_s[b]) - attention_map(map_t[b])


def attention_of_cuts(b):
    return attention_map(cut(s[b])[None]) - attention_map(cut(t[b])[None])


def slopes(f, b, first):
    """Central differences of f(five inputs) by all ten inputs."""
    result, step = np.zeros(10), 1e-5
    for j in range(5):
        e = np.eye(5)[j] * step
        v = x[b, first:first + 5]
        result[first + j] = (f(v + e) - f(v - e)) / (2 * step)
    return result


def log_q(v, k):
    return np.log(probabilities([logits(v)])[0][k])


def gradient(b):
    return slopes(lambda v: -log_q(v, y[b]), b, 0) - slopes(lambda v: -log_q(v, y[b]), b, 5)


def derivatives():
    return np.mean([np.mean([0.5 * sum((slopes(lambda v: log_q(v, k), b, 0)
                                        - slopes(lambda v: log_q(v, k), b, 5))**2)
                             for k in range(CLASSES)]) for b in range(ROWS)])


for name, value in {
    "cross_entropy": smoothed(0), "smoothing 0.1": smoothed(0.1),
    "logits": np.mean(0.5 * ((s - t)**2).sum(1)),
    "kl 4": 16 * mean_kl(probabilities(t / 4), probabilities(s / 4)),
    "standardised 2": standardised(2), "dkd 1 8 4": dkd(1, 8, 4), "dkd 2 0.5 1": dkd(2, 0.5, 1),
    "dist 1 1 1": dist(1, 1, 1), "dist 2 0.5 4": dist(2, 0.5, 4),
    "mean of logits": ensemble(of_logits, 0.5), "logits 3:1": ensemble(of_logits, 0.75),
    "arithmetic": ensemble(arithmetic, 0.5), "arithmetic 3:1": ensemble(arithmetic, 0.75),
    "the first": ensemble(of_logits, 1), "the second": ensemble(of_logits, 0),
    "hint": half_squares(hint), "regressed": half_squares(regressed),
    "convolved": half_squares(convolved), "attention": half_squares(attention),
    "both attentions": 0.5 * (half_squares(attention) + half_squares(attention_of_cuts)),
    "epoch 3": np.mean([cut(s[b]).sum() for b in range(ROWS)]),
    "gradient": half_squares(gradient), "derivatives": derivatives(),
}.items():
    print(f"{name:16s} {value:.12f}")
