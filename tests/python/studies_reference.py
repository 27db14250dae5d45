"""What the studies find in the golden networks, computed a second time in torch: writes tests/data/real_models/studies.json.

    python tests/python/studies_reference.py

Wanted: torch, transformers 5 and NumPy. The networks are those of transformers; their attention is the function below, which sees and
changes scores, patterns and what heads gather. Nothing is taken from the program: each number is made as its definition in docs/studies.md
says, with the networks' own modules. Prompts are random ids that stand for words.
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "real_models"
NETWORKS = ["gpt2", "llama", "gpt_neox"]
torch.manual_seed(0)
torch.set_grad_enabled(False)

WATCH = {}  # what the attention of the pass that runs does: "scores" and "z" change, "pattern" and "kept" hold


def attention(module, query, key, value, attention_mask=None, scaling=None, **_):
    layer = module.layer_idx
    rep = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(rep, 1), value.repeat_interleave(rep, 1)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    scores = query @ key.transpose(2, 3) * scale
    if "scores" in WATCH:
        scores = WATCH["scores"](layer, scores)
    n = scores.shape[-1]
    scores = scores.masked_fill(torch.triu(torch.ones(n, n, dtype=torch.bool), 1), float("-inf"))
    pattern = torch.softmax(scores, -1)
    z = pattern @ value  # [batch, head, pos, dim]
    if "z" in WATCH:
        z = WATCH["z"](layer, z)
    WATCH.setdefault("value", {})[layer] = value
    WATCH.setdefault("pattern", {})[layer] = pattern
    WATCH.setdefault("kept", {})[layer] = z
    return z.transpose(1, 2).contiguous(), pattern


ALL_ATTENTION_FUNCTIONS.register("watched", attention)


class Net:
    def __init__(self, name):
        self.model = AutoModelForCausalLM.from_pretrained(GOLDEN / name, dtype=torch.float32)
        self.model.config._attn_implementation = "watched"
        self.model.eval()
        m, c = self.model, self.model.config
        if name == "gpt2":
            t = m.transformer
            self.blocks, self.norm, self.wte, self.unembed = t.h, t.ln_f, t.wte, m.lm_head
            self.attn = [b.attn for b in t.h]
            self.wo = [b.attn.c_proj.weight for b in t.h]  # [head·dim, width]
            d = c.n_embd
            self.bv = [b.attn.c_attn.bias[2 * d:] for b in t.h]
        elif name == "llama":
            t = m.model
            self.blocks, self.norm, self.wte, self.unembed = t.layers, t.norm, t.embed_tokens, m.lm_head
            self.attn = [b.self_attn for b in t.layers]
            self.wo = [b.self_attn.o_proj.weight.T for b in t.layers]
            self.bv = [None for _ in t.layers]
        else:
            t = m.gpt_neox
            self.blocks, self.norm, self.wte = t.layers, t.final_layer_norm, t.embed_in
            self.unembed = m.get_output_embeddings()
            self.attn = [b.attention for b in t.layers]
            self.wo = [b.attention.dense.weight.T for b in t.layers]
            h = c.num_attention_heads
            dim = c.hidden_size // h
            self.bv = [b.attention.query_key_value.bias.reshape(h, 3, dim)[:, 2].reshape(-1) for b in t.layers]
        self.mlp = [b.mlp for b in self.blocks]
        self.layers, self.heads = len(self.blocks), c.num_attention_heads
        self.U = self.unembed.weight
        self.is_layer_norm = hasattr(self.norm, "bias")
        self.eps = getattr(self.norm, "eps", getattr(self.norm, "variance_epsilon", None))

    def run(self, ids, hooks=(), **watch):
        """One pass; `hooks` are (module, when, function of the first tensor), `when` is "in" or "out"."""
        WATCH.clear()
        WATCH.update(watch)
        self.post, self.mlp_out, self.attn_out = {}, {}, {}
        handles = []

        def first(x):
            return x[0] if isinstance(x, tuple) else x

        def put(x, new):
            return (new,) + tuple(x[1:]) if isinstance(x, tuple) else new

        for module, when, change in hooks:
            if when == "in":
                def before(_, args, kwargs, change=change):
                    if args:
                        return (change(args[0]),) + tuple(args[1:]), kwargs
                    kwargs = dict(kwargs)
                    kwargs["hidden_states"] = change(kwargs["hidden_states"])
                    return args, kwargs
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(
                    lambda _, __, out, change=change: put(out, change(first(out)))))
        for i in range(self.layers):
            for kept, module in ((self.post, self.blocks[i]), (self.mlp_out, self.mlp[i]), (self.attn_out, self.attn[i])):
                handles.append(module.register_forward_hook(
                    lambda _, __, out, kept=kept, i=i: kept.__setitem__(i, first(out))))
        logits = self.model(torch.tensor(ids)).logits
        for handle in handles:
            handle.remove()
        return logits

    def through_norm(self, part, stream):
        """A part of a stream through the final norm, whose scale is that of the stream; without the norm's bias."""
        if self.is_layer_norm:
            part = part - part.mean(-1, keepdim=True)
            stream = stream - stream.mean(-1, keepdim=True)
        return part / torch.sqrt((stream ** 2).mean(-1, keepdim=True) + self.eps) * self.norm.weight

    def written(self, layer, head, z):
        """What a head writes of what it gathered, [.., dim], without the bias of its values."""
        dim = z.shape[-1]
        cut = slice(head * dim, (head + 1) * dim)
        if self.bv[layer] is not None:
            z = z - self.bv[layer][cut]
        return z @ self.wo[layer][cut]


def head_change(layer, head, other):
    def change(at, z):
        if at == layer:
            z = z.clone()
            z[:, head] = other[layer][:, head]
        return z
    return change


def ids_of(rng, count, low=3, high=390):
    return [int(x) for x in rng.choice(np.arange(low, high), count, replace=False)]


def ioi_prompts(rng):
    frame = ids_of(rng, 14)
    prompts = []
    for _ in range(3):
        a, b = ids_of(rng, 2, 200, 390)
        for s, io in ((a, b), (b, a)):
            tokens = list(frame)
            tokens[1], tokens[3], tokens[9] = a, b, s
            other = list(tokens)
            other[9] = io
            prompts.append({"prompt": tokens, "counterpart": other, "answer": io, "wrong": s})
    return prompts


def ioi(net, rng):
    prompts = ioi_prompts(rng)
    clean, corr = [p["prompt"] for p in prompts], [p["counterpart"] for p in prompts]
    right = torch.tensor([p["answer"] for p in prompts])
    wrong = torch.tensor([p["wrong"] for p in prompts])
    rows = torch.arange(len(prompts))

    def ld(logits):
        return logits[rows, -1, right] - logits[rows, -1, wrong]

    of_corr = ld(net.run(corr))
    logits = net.run(clean)
    of_clean = ld(logits)
    z, post = dict(WATCH["kept"]), dict(net.post)
    mlps, pre = dict(net.mlp_out), {}
    stream = post[net.layers - 1][:, -1]
    direction = net.U[right] - net.U[wrong]
    heads = [[float((net.through_norm(net.written(l, h, z[l][:, h, -1]), stream) * direction).sum(-1).mean())
              for h in range(net.heads)] for l in range(net.layers)]
    direct_mlp = [float((net.through_norm(mlps[l][:, -1], stream) * direction).sum(-1).mean()) for l in range(net.layers)]

    def share(value):
        return float((value.mean() - of_corr.mean()) / (of_clean.mean() - of_corr.mean()))

    # what enters each layer of the run on the prompts
    hooks = [(net.blocks[l], "in", lambda x, l=l: pre.setdefault(l, x.clone())) for l in range(net.layers)]
    net.run(clean, hooks)
    patched_z = [[share(ld(net.run(corr, z=head_change(l, h, z)))) for h in range(net.heads)] for l in range(net.layers)]

    def at(l, p):
        def change(x):
            x = x.clone()
            x[:, p] = pre[l][:, p]
            return x
        return share(ld(net.run(corr, [(net.blocks[l], "in", change)])))

    patched_pre = [[at(l, p) for p in range(len(clean[0]))] for l in range(net.layers)]
    return {"prompts": prompts, "settings": {}, "numbers": {
        "prompts": len(prompts), "logit_difference": float(of_clean.mean()),
        "logit_difference_corrupted": float(of_corr.mean()),
        "right_above_wrong": float((of_clean > 0).float().mean()),
        "right_likeliest": float((logits[:, -1].argmax(-1) == right).float().mean())},
        "arrays": {"logit_difference": of_clean.tolist(), "direct.heads": heads, "direct.mlp": direct_mlp,
                   "patched.z": patched_z, "patched.resid_pre": patched_pre}}


def induction(net, rng):
    block = 9
    prompts = []
    for _ in range(3):
        tokens = ids_of(rng, block)
        prompts.append({"prompt": tokens + tokens})
    ids = [p["prompt"] for p in prompts]
    logits = net.run(ids)
    pattern = WATCH["pattern"]
    n = 2 * block

    def score(back, queries):
        return [[float(torch.stack([pattern[l][:, h, q, q - back] for q in queries]).mean())
                 for h in range(net.heads)] for l in range(net.layers)]

    second = range(block, n)
    loss = -torch.log_softmax(logits, -1)
    of = [[float(loss[r, i, ids[r][i + 1]]) for i in range(n - 1)] for r in range(len(ids))]
    return {"prompts": prompts, "settings": {}, "numbers": {
        "sequences": len(ids),
        "loss_first": float(np.mean([row[:block - 1] for row in of])),
        "loss_second": float(np.mean([row[block:] for row in of]))},
        "arrays": {"induction": score(block - 1, second), "duplicate_token": score(block, second),
                   "previous_token": score(1, range(1, n))}}


def greater_than(net, rng):
    prompts = []
    for length in (11, 13):  # prompts of two lengths
        frame, years = ids_of(rng, length, 3, 200), sorted(ids_of(rng, 20, 210, 390))
        for year in (4, 9, 15):
            tokens = list(frame)
            tokens[5] = years[year]
            other = list(frame)
            other[5] = years[0]
            prompts.append({"prompt": tokens, "counterpart": other, "answer": years[year + 1:], "wrong": years[:year + 1]})

    def difference(which, hooks=(), side="prompt", **watch):
        p = torch.softmax(net.run([prompts[i][side] for i in which], hooks, **watch)[:, -1], -1)
        return [float(p[r, prompts[i]["answer"]].sum() - p[r, prompts[i]["wrong"]].sum()) for r, i in enumerate(which)]

    groups = [[0, 1, 2], [3, 4, 5]]
    clean, corr, other_z, other_mlp = [], [], [], []
    for g in groups:
        clean += difference(g)
        corr += difference(g, side="counterpart")
        other_z.append(dict(WATCH["kept"]))
        other_mlp.append(dict(net.mlp_out))

    def change_of(**kwargs):
        return float(np.mean(sum((difference(g, **{k: v(i) for k, v in kwargs.items()}) for i, g in enumerate(groups)), [])) - np.mean(clean))

    heads = [[change_of(z=lambda i, l=l, h=h: head_change(l, h, other_z[i])) for h in range(net.heads)] for l in range(net.layers)]
    mlps = [change_of(hooks=lambda i, l=l: [(net.mlp[l], "out", lambda _: other_mlp[i][l])]) for l in range(net.layers)]
    first = torch.softmax(net.run([prompts[0]["prompt"]])[0, -1], -1)
    named = prompts[0]["wrong"] + prompts[0]["answer"]
    return {"prompts": prompts, "settings": {}, "numbers": {
        "prompts": len(prompts), "difference": float(np.mean(clean)), "difference_corrupted": float(np.mean(corr)),
        "above_zero": float(np.mean([x > 0 for x in clean]))},
        "arrays": {"difference": clean, "change.heads": heads, "change.mlp": mlps,
                   "probability.prompt": first[named].tolist(), "probability.tokens": named}}


def causal_tracing(net, rng):
    samples, window, size = 4, 2, 3.0
    prompts = []
    for length, first, last in ((9, 1, 3), (11, 2, 3)):
        tokens = ids_of(rng, length)
        said = int(net.run([tokens])[0, -1].argmax())
        prompts.append({"prompt": tokens, "answer": said, "roles": {"subject": list(range(first, last + 1))}})
    subjects = torch.cat([net.wte(torch.tensor([p["prompt"][i] for i in p["roles"]["subject"]])) for p in prompts])
    sigma = size * float(subjects.std())
    kinds = ["state", "mlp", "attention"]
    places = {kind: [[[] for _ in range(6)] for _ in range(net.layers)] for kind in kinds}
    arrays, cleans, noised = {}, [], []
    for number, p in enumerate(prompts):
        ids, subject = p["prompt"], p["roles"]["subject"]
        first, last, end = subject[0], subject[-1], len(ids) - 1
        noise = torch.tensor(sigma * np.random.RandomState(1).randn(samples, len(subject), net.wte.weight.shape[1]), dtype=torch.float32)

        def noisy(x):
            x = x.clone()
            x[:, first:last + 1] += noise
            return x

        cleans.append(float(torch.softmax(net.run([ids])[0, -1], -1)[p["answer"]]))
        states = {"state": dict(net.post), "mlp": dict(net.mlp_out), "attention": dict(net.attn_out)}
        modules = {"state": net.blocks, "mlp": net.mlp, "attention": net.attn}

        def prob(kind=None, layers=(), position=0):
            hooks = [(net.wte, "out", noisy)]
            for l in layers:
                def restore(x, l=l):
                    x = x.clone()
                    x[:, position] = states[kind][l][:, position]
                    return x
                hooks.append((modules[kind][l], "out", restore))
            return float(torch.softmax(net.run([ids] * samples, hooks)[:, -1], -1)[:, p["answer"]].mean())

        low = prob()
        noised.append(low)
        for kind in kinds:
            rows = []
            for l in range(net.layers):
                layers = [l] if kind == "state" else range(max(0, l - window // 2), min(net.layers, l - (-window // 2)))
                row = [prob(kind, layers, t) for t in range(len(ids))]
                rows.append(row)
                for t in range(first, len(ids)):
                    place = (5 if t == end else 2 if t == last else 0 if t == first else 1 if t < last
                             else 3 if t == last + 1 else 4)
                    places[kind][l][place].append(row[t] - low)
            if number == 0:
                arrays[f"trace.{kind}"] = rows
    for kind in kinds:
        arrays[f"effect.{kind}"] = [[float(np.mean(x)) if x else None for x in row] for row in places[kind]]
    return {"prompts": prompts, "settings": {"samples": samples, "window": window, "noise": size}, "numbers": {
        "prompts": len(prompts), "noise_std": sigma, "probability": float(np.mean(cleans)),
        "probability_noised": float(np.mean(noised)), "total_effect": float(np.mean(np.subtract(cleans, noised)))},
        "arrays": arrays}


def fact_counterfact(net, rng):
    prompts, alpha, head = [], 5.0, (1, 0)
    for at in (6, 6, 5):
        tokens = ids_of(rng, 13)
        prompts.append({"prompt": tokens, "answer": ids_of(rng, 1)[0], "wrong": tokens[at], "roles": {"attribute": [at]}})
    ids = [p["prompt"] for p in prompts]
    attribute = torch.tensor([p["roles"]["attribute"][0] for p in prompts])
    pair = torch.tensor([[p["answer"], p["wrong"]] for p in prompts])
    rows = torch.arange(len(ids))

    def outcome(logits, end):
        logits = logits[:, -1]
        both = logits[rows[:, None], pair]
        p = torch.softmax(logits, -1)[rows[:, None], pair]
        return {f"fact_wins{end}": float((both[:, 0] > both[:, 1]).float().mean()),
                f"fact_likeliest{end}": float((logits.argmax(-1) == pair[:, 0]).float().mean()),
                f"logit_fact{end}": float(both[:, 0].mean()), f"logit_counterfact{end}": float(both[:, 1].mean()),
                f"probability_fact{end}": float(p[:, 0].mean()), f"probability_counterfact{end}": float(p[:, 1].mean())}

    numbers = {"prompts": len(ids), **outcome(net.run(ids), "")}
    post, z, pattern, value = dict(net.post), dict(WATCH["kept"]), dict(WATCH["pattern"]), dict(WATCH["value"])
    arrays = {}
    for name, where in (("last", torch.full_like(attribute, len(ids[0]) - 1)), ("attribute", attribute)):
        read = [net.unembed(net.norm(post[l][rows, where]))[rows[:, None], pair].mean(0) for l in range(net.layers)]
        arrays[f"lens.{name}.fact"] = [float(x[0]) for x in read]
        arrays[f"lens.{name}.counterfact"] = [float(x[1]) for x in read]
    stream, direction = post[net.layers - 1][:, -1], net.U[pair[:, 0]] - net.U[pair[:, 1]]
    arrays["direct.heads"] = [[float((net.through_norm(net.written(l, h, z[l][:, h, -1]), stream) * direction).sum(-1).mean())
                               for h in range(net.heads)] for l in range(net.layers)]

    def fetched(l, h):
        written = net.written(l, h, value[l][rows, h, attribute]) * pattern[l][rows, h, -1, attribute, None]
        return float((net.through_norm(written, stream) * direction).sum(-1).mean())

    arrays["direct.attribute"] = [[fetched(l, h) for h in range(net.heads)] for l in range(net.layers)]

    def scaled(layer, scores):
        if layer == head[0]:
            scores = scores.clone()
            scores[rows, head[1], -1, attribute] *= alpha
        return scores

    numbers |= outcome(net.run(ids, scores=scaled), "_scaled")
    return {"prompts": prompts, "settings": {"heads": f"{head[0]}.{head[1]}", "alpha": alpha},
            "numbers": numbers, "arrays": arrays}


def copy_suppression(net, rng):
    prompts = [{"prompt": ids_of(rng, 8), "answer": ids_of(rng, 1)[0], "wrong": 7}]
    prompts += [{"prompt": ids_of(rng, n)} for n in (12, 15)]
    layer, head = 0, 1
    found = [[[] for _ in range(net.heads)] for _ in range(net.layers)]
    for p in prompts:
        net.run([p["prompt"]])
        stream, pattern, z = net.post[net.layers - 1][0], WATCH["pattern"], WATCH["kept"]
        for l in range(net.layers):
            for h in range(net.heads):
                read = net.through_norm(net.written(l, h, z[l][0, h]), stream)
                for q in range(1, len(p["prompt"])):
                    key = 1 + int(pattern[l][0, h, q, 1:q + 1].argmax())
                    logits = net.U @ read[q]
                    found[l][h].append(float(logits[p["prompt"][key]] - logits.mean()))
    numbers = {"prompts": len(prompts)}

    def cut(at, z):
        if at == layer:
            z = z.clone()
            z[:, head] = 0
        return z

    first = prompts[0]
    for end, watch in (("", {}), ("_without", {"z": cut})):
        logits = net.run([first["prompt"]], **watch)[0, -1]
        p = torch.softmax(logits, -1)
        numbers[f"logit_difference{end}.0"] = float(logits[first["answer"]] - logits[first["wrong"]])
        numbers[f"probability_right{end}.0"] = float(p[first["answer"]])
        numbers[f"probability_wrong{end}.0"] = float(p[first["wrong"]])
    return {"prompts": prompts, "settings": {"head": f"{layer}.{head}"}, "numbers": numbers,
            "arrays": {"suppression": [[float(np.mean(x)) for x in row] for row in found]}}


STUDIES = {"ioi": ioi, "induction": induction, "greater-than": greater_than, "causal-tracing": causal_tracing,
           "fact-counterfact": fact_counterfact, "copy-suppression": copy_suppression}


def short(value):
    """Nine digits tell two numbers of single precision apart."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: short(v) for k, v in value.items()}
    return [short(v) for v in value] if isinstance(value, list) else value


found = {}
for name in NETWORKS:
    net = Net(name)
    found[name] = {study: short(run(net, np.random.default_rng(number))) for number, (study, run) in enumerate(STUDIES.items())}
(GOLDEN / "studies.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
print(f"{(GOLDEN / 'studies.json').stat().st_size} bytes")
