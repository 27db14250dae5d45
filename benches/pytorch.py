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
    "train/gru": dict(model="gru", batch=128, context=20, width=32, vocab=4),
    # Symbols to copy: the loss is over the second segment.
    "train/memory_tokens": dict(model="memory_tokens", batch=64, context=12, width=32, vocab=10, answer=6, layers=2, heads=4, memory=6, segment=6),
    # A key to remember: the loss is at the last position.
    "train/feedback": dict(model="feedback", batch=32, context=48, width=32, vocab=17, answer=1, layers=2, heads=4, memory=2, segment=8),
    # The default experiment; its steps until the induction head is there are the workload emerge/birth.
    "emerge/birth": dict(model="birth", batch=32, context=128, width=128),
}
VOCAB = 65


class Simplified(nn.Module):
    """The simplified model of arXiv 2306.00802: W_K1, W_K2, W_O2 and W_F are trained, all else is frozen."""

    def __init__(self, context, width, vocab):
        super().__init__()
        frozen = lambda *shape: nn.Parameter(torch.randn(*shape), requires_grad=False)
        matrix = lambda grad: nn.Parameter(torch.empty(width, width).uniform_(-1, 1) / math.sqrt(width), requires_grad=grad)
        self.tokens, self.places = frozen(vocab, width), frozen(context, width)
        self.k1, self.v1, self.o1 = matrix(True), matrix(False), matrix(False)
        self.k2, self.v2, self.o2 = matrix(True), matrix(False), matrix(True)
        self.wf = matrix(True)
        self.unembed = nn.Parameter(torch.randn(vocab, width) / math.sqrt(width), requires_grad=False)
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

    def forward(self, x, seen=None, turn=None, residual=None):
        """`seen`: which row sees which (causal when left out); `turn` rotates queries and keys; `residual`: what is added to, if not `x`."""
        split = lambda part: part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = map(split, self.qkv(self.before(x)).chunk(3, -1))
        if turn is not None:
            q, k = turn(q), turn(k)
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None)
        x = (x if residual is None else residual) + self.out(z.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))


class Decoder(nn.Module):
    def __init__(self, context, width, vocab, layers, heads):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab, width), nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.unembed = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

    def read(self, x):
        return self.unembed(self.norm(x))

    def forward(self, ids):
        x = self.tokens(ids) + self.places
        for block in self.blocks:
            x = block(x)
        return self.read(x)


class Gru(nn.Module):
    def __init__(self, context, width, vocab):
        super().__init__()
        self.tokens, self.units = nn.Embedding(vocab, width), nn.GRU(width, width, batch_first=True)
        self.unembed = nn.Linear(width, vocab)

    def forward(self, ids):
        return self.unembed(self.units(self.tokens(ids))[0])


class MemoryTokens(Decoder):
    """The Recurrent Memory Transformer of arXiv 2207.06881: each segment between memory that is read and memory that is written."""

    def __init__(self, context, width, vocab, layers, heads, memory, segment, answer):
        super().__init__(segment, width, vocab, layers, heads)
        vectors = lambda: nn.Parameter(0.5 * torch.randn(memory, width))
        self.first, self.to_read, self.to_write = vectors(), vectors(), vectors()
        self.memory, self.segment, self.answer = memory, segment, answer
        row = torch.arange(memory + segment + memory)
        seen = (row[None] < memory) | (row[:, None] >= memory + segment) | ((row[:, None] >= memory) & (row[None] <= row[:, None]))
        self.register_buffer("seen", seen)

    def forward(self, ids):
        memory, out = self.first.expand(len(ids), -1, -1), []
        for segment in ids.split(self.segment, 1):
            x = torch.cat([memory + self.to_read, self.tokens(segment) + self.places, memory + self.to_write], 1)
            for block in self.blocks:
                x = block(x, self.seen)
            _, x, memory = x.split([self.memory, self.segment, self.memory], 1)
            # As everything that leaves the network.
            memory = self.norm(memory)
            out.append(x)
        return self.read(torch.cat(out, 1)[:, -self.answer :])


class Feedback(Decoder):
    """Feedback attention of arXiv 2404.09173: each layer reads what it wrote into its memory one block before."""

    def __init__(self, context, width, vocab, layers, heads, memory, segment, answer):
        super().__init__(0, width, vocab, layers, heads)
        self.first = nn.Parameter(0.5 * torch.randn(memory, width))
        self.memory, self.segment, self.answer = memory, segment, answer
        # Rows of a block are tokens, and then memory, which stands at the last places of the block before.
        place = torch.cat([torch.arange(segment), torch.arange(-memory, 0)])
        frequency = 10000 ** (-torch.arange(0, width // heads, 2) / (width // heads))
        angle = place[:, None] * frequency
        self.register_buffer("cosine", angle.cos().repeat_interleave(2, -1))
        self.register_buffer("sine", angle.sin().repeat_interleave(2, -1))
        row = torch.arange(segment + memory)
        is_memory = row >= segment
        own = is_memory[:, None] | (~is_memory[None] & (row[None] <= row[:, None]))
        self.register_buffer("seen_first", own)
        self.register_buffer("seen", own | is_memory[None])

    def turn(self, x):
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        return x * self.cosine + torch.stack([-b, a], -1).flatten(-2) * self.sine

    def forward(self, ids):
        memories = None
        for segment in ids.split(self.segment, 1):
            x, written = self.tokens(segment), []
            flowing = self.first.expand(len(ids), -1, -1)
            for layer, block in enumerate(self.blocks):
                memory = flowing if memories is None else memories[layer]
                both = torch.cat([x, memory], 1)
                if memories is None:
                    both = block(both, self.seen_first, self.turn, torch.cat([x, torch.zeros_like(memory)], 1))
                else:
                    both = block(both, self.seen, self.turn)
                x, flowing = both.split([self.segment, self.memory], 1)
                written.append(flowing)
            memories = written
        return self.read(x[:, -self.answer :])


ADAMW = dict(lr=3e-4, betas=(0.9, 0.99), weight_decay=0.01)
MODELS = {"birth": Simplified, "decoder": Decoder, "gru": Gru, "memory_tokens": MemoryTokens, "feedback": Feedback}


class Steps:
    """Training steps of one shape in one mode."""

    def __init__(self, model, batch, context, width, compiled, vocab=VOCAB, **more):
        torch.manual_seed(0)
        net = MODELS[model](context, width, vocab, **more)
        if model == "birth":
            trained = [p for p in net.parameters() if p.requires_grad]
            self.optimizer = torch.optim.SGD(trained, lr=0.2, momentum=0.9, weight_decay=1e-4)
        else:
            self.optimizer = torch.optim.AdamW(net.parameters(), **ADAMW)
        self.forward = torch.compile(net) if compiled else net
        self.ids = torch.randint(0, vocab, (batch, context))
        # Answers are the last positions, where not all positions are in the loss.
        self.targets = torch.randint(0, vocab, (batch, more.get("answer", context)))
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


def ours(program, name, peak, seconds, threads):
    """What the program says of a workload."""
    command = [program, "bench", name, "--json", "--seconds", str(seconds), "--peak", str(peak), "--set", f"train.threads={threads}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return json.loads(lines[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help="workloads (all when left out)")
    parser.add_argument("--program", default="target/release/mnemoscope")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0, help="of both (as many as the machine has when left out)")
    parser.add_argument("--eager", action="store_true", help="leave PyTorch's compiled steps out, which take minutes to get ready")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    peak = sgemm_peak()
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "sgemm_gflops": peak}), flush=True)
    rows = []
    for name in args.names or SHAPES:
        theirs = {"eager": Steps(**SHAPES[name], compiled=False)}
        if not args.eager:
            theirs["compiled"] = Steps(**SHAPES[name], compiled=True)
        times = {mode: [] for mode in ("ours", *theirs)}
        share, steps = [], 1
        rounds = 1 if name.startswith("emerge") else args.rounds
        for _ in range(rounds):
            for mode, run in theirs.items():
                times[mode] += run.run(1.0)
                found = ours(args.program, name, peak, 1.0, args.threads)
                steps = found.get("median_steps", 1)
                times["ours"].append(found["median_s"] / steps)
                share.append(found["fraction_of_peak"])
        found = {mode: statistics.median(all_of) for mode, all_of in times.items()}
        share = None if None in share else statistics.median(share)
        ratio = {mode: found[mode] / found["ours"] for mode in theirs}
        print(json.dumps({"name": name, "steps": steps, "seconds_per_step": found, "ratio": ratio, "fraction_of_peak": share}), flush=True)
        percent = "" if share is None else f"{100 * share:.0f} %"
        milliseconds = " | ".join(f"{1e3 * found[mode]:.2f}" if mode in found else "" for mode in ("ours", "eager", "compiled"))
        ratios = " | ".join(f"{ratio[mode]:.2f}" if mode in ratio else "" for mode in ("eager", "compiled"))
        rows.append(f"| `{name}` | {milliseconds} | {ratios} | {percent} |")
    print("\n| workload | ours, ms a step | PyTorch eager | compiled | eager ÷ ours | compiled ÷ ours | of peak |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
