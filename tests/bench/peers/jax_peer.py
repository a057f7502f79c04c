"""JAX as a contestant of ./dev bench: an epoch is one call, a lax.scan over batches whose weights and
optimizer state are donated. Images are [N, H, W, C]."""
import os

import common

a = common.arguments()
os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(a.threads)  # the size of XLA's thread pool
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402  after its environment
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # the fast one


# --- layers: weights are pairs (kernel, bias), taken in order ---------------------------------

def products(x, kernel, padding, stride=1):
    """As one product over shifted copies: XLA's own CPU convolutions were ten times slower, their
    gradients in a scan above all."""
    k, _, channels, outputs = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = x.shape[1] - k + 1, x.shape[2] - k + 1
    x = jnp.concatenate([x[:, i:i + height:stride, j:j + width:stride]
                         for i in range(k) for j in range(k)], 3)
    shape = x.shape[:3]
    x = x.reshape(-1, k * k * channels) @ kernel.reshape(-1, outputs)
    return x.reshape(*shape, outputs)


def depthwise(x, kernel, stride):
    k = kernel.shape[0]
    x = jnp.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    height, width = x.shape[1] - k + 1, x.shape[2] - k + 1
    return sum(x[:, i:i + height:stride, j:j + width:stride] * kernel[i, j, 0]
               for i in range(k) for j in range(k))


def conv(x, w, padding=None):
    kernel, bias = w
    return jax.nn.relu(products(x, kernel, kernel.shape[0] // 2 if padding is None else padding) + bias)


def normed(x, w, stride=1):
    """A convolution and its batch normalisation; running statistics are left out."""
    kernel = w[0][0]
    if kernel.shape[2] < x.shape[3]:
        x = depthwise(x, kernel, stride)
    else:
        x = products(x, kernel, kernel.shape[0] // 2, stride)
    scale, shift = w[1]
    centred = x - x.mean((0, 1, 2))
    return centred * (scale * lax.rsqrt((centred * centred).mean((0, 1, 2)) + 1e-5)) + shift


def linear(x, w):
    return x @ w[0] + w[1]


def halve(x):
    """2x2 windows as a maximum over two new axes: its gradient is faster than reduce_window's."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def max_pool(x, window):
    if window == 2:
        return halve(x)
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, 2, 2, 1),
                             ((0, 0), (0, 1), (0, 1), (0, 0)))


def avg_pool(x):
    """3x3 of stride 2, rounding up; windows at the edge have fewer elements."""
    def total(v):
        return lax.reduce_window(v, 0.0, lax.add, (1, 3, 3, 1), (1, 2, 2, 1),
                                 ((0, 0), (0, 1), (0, 1), (0, 0)))
    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1)))


def dropout(x, key):
    return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), 2 * x, 0)


# --- networks: shapes of their kernels, and what is done with them -----------------------------

def mlp(p, x, key):
    x = jax.nn.relu(linear(x.reshape(x.shape[0], -1), p[0]))
    return linear(jax.nn.relu(linear(x, p[1])), p[2])


def lenet(p, x, key):
    x = halve(conv(halve(conv(x, p[0], 0)), p[1], 0))
    return linear(jax.nn.relu(linear(x.reshape(x.shape[0], -1), p[2])), p[3])


def convolutional(window):
    def forward(p, x, key):
        x = max_pool(conv(max_pool(conv(x, p[0]), window), p[1]), window)
        return linear(jax.nn.relu(linear(x.reshape(x.shape[0], -1), p[2])), p[3])
    return forward


def nin(p, x, key):
    one, two = jax.random.split(key)
    x = max_pool(conv(conv(conv(x, p[0]), p[1]), p[2]), 3)
    x = conv(conv(conv(dropout(x, one), p[3]), p[4]), p[5])
    x = conv(conv(conv(dropout(avg_pool(x), two), p[6]), p[7]), p[8])
    return x.mean((1, 2))


def resnet20(p, x, key):
    x = jax.nn.relu(normed(x, p[0:2]))
    at = 2
    for channels in (16, 32, 64):
        for k in range(3):
            short, stride = x, 1
            if channels > 16 and k == 0:
                n, h, w, c = x.shape
                short = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
                short, stride = jnp.pad(short, ((0, 0), (0, 0), (0, 0), (0, channels - c))), 2
            body = normed(jax.nn.relu(normed(x, p[at:at + 2], stride)), p[at + 2:at + 4])
            x, at = jax.nn.relu(body + short), at + 4
    return linear(x.mean((1, 2)), p[at])


def resnet20_shapes():
    widths = [3] + [c for c in (16, 32, 64) for _ in range(7 if c == 16 else 6)]
    return [s for a, b in zip(widths, widths[1:]) for s in ((3, 3, a, b), (b,))] + [(64, 10)]


SEPARABLE = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]


def mobilenet(p, x, key):
    x = jax.nn.relu(normed(x, p[0:2]))
    for k, (_, _, stride) in enumerate(SEPARABLE):
        x = jax.nn.relu(normed(x, p[4 * k + 2:4 * k + 4], stride))
        x = jax.nn.relu(normed(x, p[4 * k + 4:4 * k + 6]))
    return linear(x.mean((1, 2)), p[-1])


def mobilenet_shapes():
    return [(3, 3, 3, 32), (32,), *(s for a, b, _ in SEPARABLE for s in
                                    ((3, 3, 1, a), (a,), (1, 1, a, b), (b,))), (256, 10)]


def student(first, second):
    return [(5, 5, 3, first), (5, 5, first, second), (64 * second, 1024), (1024, 10)]


NETWORKS = {
    "mlp30": (mlp, [(784, 30), (30, 30), (30, 10)]),
    "mlp800": (mlp, [(784, a.width), (a.width, a.width), (a.width, 10)]),
    "lenet": (lenet, [(5, 5, 1, 20), (5, 5, 20, 50), (800, 500), (500, 10)]),
    "svhn_student": (convolutional(3), student(32, 64)),
    "cifar_student": (convolutional(2), student(64, 128)),
    "nin": (nin, [(5, 5, 3, 192), (1, 1, 192, 160), (1, 1, 160, 96), (5, 5, 96, 192),
                  (1, 1, 192, 192), (1, 1, 192, 192), (3, 3, 192, 192), (1, 1, 192, 192),
                  (1, 1, 192, 10)]),
    "resnet20": (resnet20, resnet20_shapes()),
    "mobilenet": (mobilenet, mobilenet_shapes()),
}
forward, shapes = NETWORKS[a.network]


# --- training ----------------------------------------------------------------------------------

def init(key, shape):
    if len(shape) == 1:  # of a batch normalisation
        return jnp.ones(shape), jnp.zeros(shape)
    limit = (6 / (jnp.prod(jnp.array(shape[:-1])))) ** 0.5
    return jax.random.uniform(key, shape, minval=-limit, maxval=limit), jnp.zeros(shape[-1])


def objective(params, x, z, key):
    noise, coin, drop = jax.random.split(key, 3)
    xi = common.SIGMA * jax.random.normal(noise, z.shape)
    target = z * jnp.where(jax.random.bernoulli(coin, common.ALPHA, (z.shape[0], 1)), 1 + xi, 1)
    return 0.5 * jnp.sum((forward(params, x, drop) - target) ** 2) / z.shape[0]


def sgd(p, g, state, step):
    v = jax.tree.map(lambda v, g: common.MOMENTUM * v + g, state[0], g)
    return jax.tree.map(lambda p, v: p - common.RATE["sgd"] * v, p, v), (v,)


def adam(p, g, state, step):
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], g)
    rate, root = common.RATE["adam"] / (1 - 0.9**step), (1 - 0.999**step) ** 0.5
    return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v), (m, v)


update, slots = (adam, 2) if a.optimizer == "adam" else (sgd, 1)


def one_epoch(params, state, step, order, images, logits, seed):
    def body(carry, rows):
        params, state, step, total = carry
        key = jax.random.fold_in(jax.random.key(seed), step)
        x = images[rows].astype(jnp.float32) * (1 / 255)
        loss, gradient = jax.value_and_grad(objective)(params, x, logits[rows], key)
        step += 1
        params, state = update(params, gradient, state, step)
        return (params, state, step, total + loss), None
    carry, _ = lax.scan(body, (params, state, step, jnp.float32(0)), order)
    return carry


def main():
    images, logits = map(jnp.asarray, common.data(a.network, a.rows))
    params = [init(k, s) for k, s in zip(jax.random.split(jax.random.key(1), len(shapes)), shapes)]
    state = tuple(jax.tree.map(jnp.zeros_like, params) for _ in range(slots))
    at = {"carry": (params, state, jnp.int32(0)), "key": jax.random.key(2)}
    epoch = jax.jit(one_epoch, donate_argnums=(0, 1))

    def train(steps):
        at["key"], key = jax.random.split(at["key"])
        order = jax.random.permutation(key, a.rows)[:steps * a.batch].reshape(steps, a.batch)
        *carry, total = epoch(*at["carry"], order, images, logits, 1)
        at["carry"] = carry
        return float(total) / steps

    common.serve(jax.__version__, a, train)


main()
