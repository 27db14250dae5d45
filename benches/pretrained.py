"""Passes over a network of GPT-2 small's size, and activation patching, beside Hugging Face and TransformerLens, by turns.

    python benches/pretrained.py target/release/mnemoscope [--rounds 3] [64 256 1024 patching]

Wants torch, transformers and transformer-lens. Every case runs in a process of its own, one after the other in each round, on one
thread; of each the least processor time of a pass and the largest peak of memory are kept. The network is random: the peers make
theirs anew with the same shape, as `mnemoscope bench gpt2` does."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}


def least(work, times):
    """Processor seconds of the quickest of some calls."""
    best = float("inf")
    for _ in range(times):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return best


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def network(folder):
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if not os.path.exists(os.path.join(folder, "config.json")):
        transformers.GPT2LMHeadModel(transformers.GPT2Config()).save_pretrained(folder)
    return torch, transformers


def hugging_face(folder, case):
    torch, transformers = network(folder)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.randint(0, 50257, (1, int(case)))
    with torch.no_grad():
        seconds = least(lambda: model(ids, output_attentions=True, output_hidden_states=True, use_cache=False), 3)
    return {"cpu_s": seconds, "peak_mb": peak_mb()}


def transformer_lens(folder, case):
    torch, _ = network(folder)
    from transformer_lens.model_bridge import TransformerBridge

    model = TransformerBridge.boot_transformers(folder, device="cpu")
    with torch.no_grad():
        if case == "patching":
            return {"cpu_s": least(lambda: patched(torch, model), 1), "peak_mb": peak_mb()}
        ids = torch.randint(0, 50257, (1, int(case)))
        kept = [None]

        def run():
            kept[0] = model.run_with_cache(ids, prepend_bos=False)

        return {"cpu_s": least(run, 3), "peak_mb": peak_mb()}


def patched(torch, model):
    """The residual stream by layer and position: eight pairs of 15 tokens that differ at position 9, as the prompts of indirect
    object identification do."""
    from transformer_lens import patching

    torch.manual_seed(1)
    base = torch.randint(0, 50257, (8, 15))
    other = base.clone()
    other[:, 9] = torch.randint(0, 50257, (8,))
    _, cache = model.run_with_cache(base, prepend_bos=False)
    rows = torch.arange(8)

    def metric(logits):
        return (logits[rows, -1, 10] - logits[rows, -1, 20]).mean()

    return patching.get_act_patch_resid_pre(model, other, cache, metric)


PEERS = {"Hugging Face eager": hugging_face, "TransformerLens": transformer_lens}


def asked(program, case):
    """Ours."""
    told = subprocess.run(
        [program, "bench", f"gpt2/{case}", "--json", "--seconds", "3"], capture_output=True, text=True, check=True
    )
    for line in told.stdout.splitlines():
        line = json.loads(line)
        if line["name"] == f"gpt2/{case}":
            return {key: line[key] for key in ("cpu_s", "peak_mb")}
    raise SystemExit(f"no gpt2/{case} in {told.stdout}")


def of_peer(peer, folder, case):
    told = subprocess.run(
        [sys.executable, __file__, "--peer", peer, folder, case],
        capture_output=True,
        text=True,
        env={**os.environ, **ONE_THREAD},
    )
    if told.returncode:
        raise SystemExit(told.stderr)
    return json.loads(told.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("cases", nargs="*", default=["64", "256", "1024", "patching"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for case in given.cases:
            peers = [name for name in PEERS if case != "patching" or name == "TransformerLens"]
            best = {name: {"cpu_s": float("inf"), "peak_mb": 0.0} for name in ["ours", *peers]}
            for _ in range(given.rounds):
                for name in best:
                    found = asked(given.program, case) if name == "ours" else of_peer(name, folder, case)
                    best[name]["cpu_s"] = min(best[name]["cpu_s"], found["cpu_s"])
                    best[name]["peak_mb"] = max(best[name]["peak_mb"], found["peak_mb"])
            ours = best["ours"]
            for name, found in best.items():
                ratio = f"{found['cpu_s'] / ours['cpu_s']:.2f} x the time, {found['peak_mb'] / ours['peak_mb']:.2f} x the memory"
                print(f"{case:>9}  {name:<20} {found['cpu_s']:8.3f} s {found['peak_mb']:8.0f} MB  {ratio}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer, folder, case = sys.argv[2:]
        print(json.dumps(PEERS[peer](folder, case)))
    else:
        main()
