#!/usr/bin/env python3
"""Training steps of this program beside the same steps in PyTorch, taken in turns so that both see the same machine.

    cargo build --release
    pip install torch numpy
    python benches/pytorch.py                      # all shapes, a table and one JSON object a line
    python benches/pytorch.py train/birth --rounds 12

Every round measures PyTorch eager, this program, PyTorch compiled, and this program again, for about a second each.
The ratios are those of the medians over all rounds. On an idle machine only: other work changes all of them.
"""

import argparse
import json
import math
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F

SHAPES = {
    "train/birth": dict(model="birth", batch=32, context=256, width=128),
    "train/birth_small": dict(model="birth", batch=16, context=64, width=64),
    "train/gpt": dict(model="decoder", batch=32, context=128, width=128, layers=2, heads=4),
    "train/gpt_deep": dict(model="decoder", batch=16, context=65, width=128, layers=6, heads=1),
    # The default experiment; its steps until the induction head is there are the workload emerge/birth.
    "emerge/birth": dict(model="birth", batch=32, context=128, width=128),
}
VOCAB = 65


class Simplified(nn.Module):
    """The simplified model of arXiv 2306.00802: W_K1, W_K2, W_O2 and W_F are trained, all else is frozen."""

    def __init__(self, context, width):
        super().__init__()
        frozen = lambda *shape: nn.Parameter(torch.randn(*shape), requires_grad=False)
        matrix = lambda grad: nn.Parameter(torch.empty(width, width).uniform_(-1, 1) / math.sqrt(width), requires_grad=grad)
        self.tokens, self.places = frozen(VOCAB, width), frozen(context, width)
        self.k1, self.v1, self.o1 = matrix(True), matrix(False), matrix(False)
        self.k2, self.v2, self.o2 = matrix(True), matrix(False), matrix(True)
        self.wf = matrix(True)
        self.unembed = nn.Parameter(torch.randn(VOCAB, width) / math.sqrt(width), requires_grad=False)
        self.register_buffer("hidden", torch.ones(context, context, dtype=torch.bool).triu(1))

    def attend(self, x, k, v, o):
        logits = x @ F.linear(x, k).transpose(-2, -1) / math.sqrt(x.shape[-1])
        pattern = logits.masked_fill(self.hidden, -math.inf).softmax(-1)
        return F.linear(pattern @ F.linear(x, v), o)

    def forward(self, ids):
        x = self.tokens[ids] + self.places
        x = x + self.attend(x, self.k1, self.v1, self.o1)
        x = x + self.attend(x, self.k2, self.v2, self.o2)
        return F.linear(x + F.linear(x, self.wf), self.unembed)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x):
        split = lambda part: part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = map(split, self.qkv(self.before(x)).chunk(3, -1))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(z.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))


class Decoder(nn.Module):
    def __init__(self, context, width, layers, heads):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCAB, width), nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.unembed = nn.LayerNorm(width), nn.Linear(width, VOCAB, bias=False)

    def forward(self, ids):
        return self.unembed(self.norm(self.blocks(self.tokens(ids) + self.places)))


class Steps:
    """Training steps of one shape in one mode."""

    def __init__(self, model, batch, context, width, compiled, **more):
        torch.manual_seed(0)
        if model == "birth":
            net = Simplified(context, width)
            trained = [p for p in net.parameters() if p.requires_grad]
            self.optimizer = torch.optim.SGD(trained, lr=0.2, momentum=0.9, weight_decay=1e-4)
        else:
            net = Decoder(context, width, **more)
            self.optimizer = torch.optim.AdamW(net.parameters(), lr=3e-4, betas=(0.9, 0.99), weight_decay=0.01)
        self.forward = torch.compile(net) if compiled else net
        self.ids, self.targets = (torch.randint(0, VOCAB, (batch, context)) for _ in range(2))
        self.run(0.5)

    def run(self, seconds):
        """Seconds of each step, for about so long, after a few that do not count."""
        times, begun = [], time.perf_counter()
        while len(times) < 8 or time.perf_counter() - begun < seconds:
            start = time.perf_counter()
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.forward(self.ids).flatten(0, 1), self.targets.flatten()).backward()
            self.optimizer.step()
            times.append(time.perf_counter() - start)
        return times[3:]


def sgemm_peak():
    """GFLOP/s of the fastest of many products of square matrices."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = math.inf
    for _ in range(30):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best / 1e9


def ours(program, name, peak, seconds):
    """What the program says of a workload."""
    command = [program, "bench", name, "--json", "--seconds", str(seconds), "--peak", str(peak)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return json.loads(lines[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help="workloads (all when left out)")
    parser.add_argument("--program", default="target/release/mnemoscope")
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    peak = sgemm_peak()
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "sgemm_gflops": peak}), flush=True)
    rows = []
    for name in args.names or SHAPES:
        eager, compiled = Steps(**SHAPES[name], compiled=False), Steps(**SHAPES[name], compiled=True)
        times = {"eager": [], "compiled": [], "ours": []}
        share, steps = [], 1
        rounds = 1 if name.startswith("emerge") else args.rounds
        for _ in range(rounds):
            for mode, run in (("eager", eager), ("compiled", compiled)):
                times[mode] += run.run(1.0)
                found = ours(args.program, name, peak, 1.0)
                steps = found.get("median_steps", 1)
                times["ours"].append(found["median_s"] / steps)
                share.append(found["fraction_of_peak"])
        found = {mode: statistics.median(all_of) for mode, all_of in times.items()}
        share = None if None in share else statistics.median(share)
        ratio = {mode: found[mode] / found["ours"] for mode in ("eager", "compiled")}
        print(json.dumps({"name": name, "steps": steps, "seconds_per_step": found, "ratio": ratio, "fraction_of_peak": share}), flush=True)
        percent = "" if share is None else f"{100 * share:.0f} %"
        milliseconds = " | ".join(f"{1e3 * found[mode]:.2f}" for mode in ("ours", "eager", "compiled"))
        rows.append(f"| `{name}` | {milliseconds} | {ratio['eager']:.2f} | {ratio['compiled']:.2f} | {percent} |")
    print("\n| workload | ours, ms a step | PyTorch eager | compiled | eager ÷ ours | compiled ÷ ours | of peak |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
