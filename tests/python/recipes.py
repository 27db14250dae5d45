"""Runs the recipes of docs/python.md on fresh runs and compares what other libraries compute with what we do.

    pip install numpy torch safetensors "transformer-lens>=4" transformers pyarrow tensorboard
    python tests/python/recipes.py [target/debug/mnemoscope]

A recipe whose library is not installed is skipped, and said so; with `transformer-lens<4` in its place the section of TransformerLens
2 and 3 runs. Fails where a strict load fails, where a logit or an entry of an attention pattern differs by more than 1e-5, or where a
network is exported that should be refused.
"""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5

# Embeddings and matrices as large as these give attention that is far from even.
DECODER = ["model.layers=2", "model.heads=2", "model.width=16", "model.embedding_std=1", "model.init=transformer_lens"]
BIRTH = ["model.kind=birth", "model.width=16"]
# Settings, and which spellings refuse them.
NETWORKS = {
    "as it comes": (DECODER, []),
    "attention alone": (DECODER + ["model.mlp=none", "model.biases=false"], []),
    "erf, tied, sinusoids": (
        DECODER + ["model.mlp=gelu_erf", "model.tied=true", "model.positions=sinusoidal"], []),
    "relu, no first MLP, no positions": (
        DECODER + ["model.mlp=relu", "model.first_mlp=false", "model.positions=none"], []),
    "one matrix, values and outputs left out": (
        DECODER + ["model.mlp=linear", "model.values=identity", "model.outputs=identity"], []),
    "llama": (
        DECODER + ["model.mlp=swiglu", "model.norm=rms", "model.positions=rotary", "model.biases=false"], ["gpt2"]),
    "parallel": (DECODER + ["model.parallel=true", "model.mlp=relu"], ["transformer_lens", "gpt2"]),
    "narrow heads, biased logits": (DECODER + ["model.head_dim=4", "model.unembed_bias=true"], ["gpt2"]),
    "no norms": (DECODER + ["model.norm=none"], ["gpt2"]),
    "no final norm": (DECODER + ["model.final_norm=false"], ["transformer_lens", "hooked", "gpt2"]),
    "birth": (BIRTH, ["gpt2"]),
    "birth, mlp, tied, not divided": (
        BIRTH + ["model.feed_forward=mlp", "model.tie_output=true", "model.no_sqrtd=true"], ["gpt2"]),
    "birth, sinusoids, no W_F, not divided": (BIRTH + ["model.feed_forward=none", "model.positions=sinusoidal", "model.no_sqrtd=true"], ["gpt2"]),
    "birth, rotary": (BIRTH + ["model.positions=rotary"], ["transformer_lens", "hooked", "gpt2"]),
}
EXPERIMENT = """
name = "tiny"
[task]
kind = "bigram"
length = 32
triggers = 3
[model]
kind = "decoder"
[train]
batch = 8
held_out = 8
evaluate = 15
steps = 60
rate = 0.1
threads = 1
"""


def installed(module: str) -> str | None:
    """Version of a package, or None."""
    try:
        importlib.import_module(module)
    except ImportError:
        return None
    return importlib.metadata.version(module.replace("_", "-"))


def recipes() -> dict[str, tuple[list[str], str]]:
    """Shell lines and Python lines of each section of the page."""
    text = (ROOT / "docs/python.md").read_text()
    found = {}
    for section in text.split("\n## ")[1:]:
        title, body = section.split("\n", 1)
        shell = re.findall(r"```sh\n(.*?)```", body, re.S)
        python = re.findall(r"```python\n(.*?)```", body, re.S)
        found[title] = ("".join(shell).splitlines(), "".join(python))
    return found


class Run:
    """A folder with a fresh run in it, where the words of the page are carried out."""

    def __init__(self, program: Path, place: Path, settings: list[str]):
        self.program, self.place = program, place
        (place / "tiny.toml").write_text(EXPERIMENT)
        words = ["train", "tiny.toml", "--out", "a-run"]
        self.carry_out([*words, *(word for setting in settings for word in ("--set", setting))])
        assert (place / "a-run/run.json").exists(), f"no run with {settings}"

    def carry_out(self, words: list[str]) -> subprocess.CompletedProcess:
        done = subprocess.run([self.program, *words], cwd=self.place, capture_output=True, text=True)
        assert done.returncode in (0, 2), f"{words}: {done.stderr}"
        return done

    def refusal(self, line: str) -> str:
        """What a line of the page's shell is answered with when it is refused, or nothing."""
        program, *words = line.split()
        assert program == "mnemoscope", line
        done = self.carry_out(words)
        return done.stderr if done.returncode else ""


def python(code: str, place: Path, known: dict) -> dict:
    """What the page's Python knows in the end."""
    known, before = dict(known), os.getcwd()
    os.chdir(place)
    try:
        exec(code, known)
    finally:
        os.chdir(before)
    return known


def compare(what: str, theirs, ours) -> float:
    import numpy as np

    theirs = np.asarray(theirs.detach().numpy(), dtype=np.float64)
    assert theirs.shape == ours.shape, f"{what}: {theirs.shape} against our {ours.shape}"
    difference = float(np.abs(theirs - ours).max())
    assert difference <= TOLERANCE, f"{what} differ by {difference:.2e}"
    return difference


def check_model(name: str, section: str, known: dict, x) -> str:
    """Compares logits and every pattern; returns how far they are."""
    import torch

    with torch.no_grad():
        logits = compare(f"{name}, {section}: logits", known["logits"][0], x["predictions(logits=true)/logits"])
        layers = [key for key in x.files if key.startswith("attention/pattern.")]
        patterns = 0.0
        for layer in range(len(layers)):
            if section.startswith("Hugging"):
                theirs = known["found"].attentions[layer]
            else:
                theirs = known["cache"][f"blocks.{layer}.attn.hook_pattern"]
            ours = x[f"attention/pattern.layer{layer}"]
            patterns = max(patterns, compare(f"{name}, {section}: patterns of layer {layer}", theirs[0], ours))
        assert patterns_are_sharp(x, layers), f"{name}: the patterns are too even to tell anything"
    if "missing" in known:
        keys = known["missing"]
        extra = [key for key in keys.missing_keys if not re.fullmatch(r"blocks\.\d+\.attn\.(mask|IGNORE)", key)]
        assert not extra and not keys.unexpected_keys, (extra, keys.unexpected_keys)
    return f"logits to {logits:.1e}, patterns to {patterns:.1e}"


def patterns_are_sharp(x, layers: list[str]) -> bool:
    """Whether some position looks at one place much more than evenly."""
    import numpy as np

    last = [x[layer][:, -1] for layer in layers]
    return max(float(rows.max()) * rows.shape[-1] for rows in last) > 2 and np.isfinite(last[0]).all()


def check_loading(place: Path) -> None:
    """Hugging Face loads what it finds: every tensor must be there, and no other."""
    from transformers import GPT2LMHeadModel

    _, said = GPT2LMHeadModel.from_pretrained(place / "gpt2", output_loading_info=True)
    assert not any(said.values()), said


def check_tensors(known: dict) -> None:
    weights = known["weights"]
    assert weights["layer0.wq"].shape == (16, 16) and "embed" in weights, list(weights)


def check_tables(known: dict) -> None:
    rows, table = known["rows"], known["table"]
    assert [int(row["step"]) for row in rows] == table["step"].to_pylist() == [0, 15, 30, 45, 60]
    assert str(table.schema.field("step").type) == "int64" and str(table.schema.field("loss").type) == "double"
    for name in table.column_names[1:]:
        values = table[name].to_pylist()
        assert [float(row[name]) if row[name] else None for row in rows] == values, name


def check_events(known: dict, rows: list[dict] | None) -> None:
    loss, events = known["loss"], known["events"]
    assert [step for step, _ in loss] == [0, 15, 30, 45, 60], loss
    if rows:
        for name in events.Tags()["scalars"]:
            theirs = {e.step: e.value for e in events.Scalars(name)}
            ours = {int(row["step"]): float(row[name]) for row in rows if row[name]}
            assert theirs.keys() == ours.keys(), name
            assert all(abs(theirs[s] - ours[s]) <= 1e-6 * max(1, abs(ours[s])) for s in ours), name


# The packages that a section needs, and which version of the first of them.
NEEDS = {
    "Arrays of any step": ("torch", None, "numpy and torch"),
    "One against another": ("numpy", None, "numpy"),
    "TransformerLens 4 and later": ("transformer_lens", lambda major: major >= 4, "transformer_lens>=4"),
    "TransformerLens 2 and 3": ("transformer_lens", lambda major: major < 4, "transformer_lens<4"),
    "Hugging Face GPT-2": ("transformers", None, "transformers"),
    "Plain tensors": ("safetensors", None, "safetensors"),
    "Metrics as tables": ("pyarrow", None, "pyarrow"),
    "TensorBoard": ("tensorboard", None, "tensorboard"),
}
SPELLED = {
    "TransformerLens 4 and later": "transformer_lens",
    "TransformerLens 2 and 3": "hooked",
    "Hugging Face GPT-2": "gpt2",
}


def possible(section: str) -> bool:
    module, fits, name = NEEDS[section]
    version = installed(module)
    if version is None or fits and not fits(int(version.split(".")[0])):
        print(f"skipped: {section}, for {name} is not installed")
        return False
    return True


def main() -> None:
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_OFFLINE"] = "1"
    program = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/mnemoscope").resolve()
    page = recipes()
    assert page.keys() == NEEDS.keys(), "this script does not know the sections of docs/python.md"
    sections = {title: page[title] for title in page if possible(title)}
    assert "Arrays of any step" in sections, "numpy and torch are needed to compare anything"
    for name, (settings, refusing) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            run = Run(program, place, settings)
            known = {}
            for title, (shell, code) in sections.items():
                spelled = SPELLED.get(title)
                if spelled is None and title != "Arrays of any step" and name != "as it comes":
                    continue
                refusals = "".join(filter(None, map(run.refusal, shell)))
                if spelled in refusing:
                    assert "cannot be written for" in refusals, f"{name} is not refused by {spelled}"
                    print(f"{name}, {title}: refused, as it should be")
                    continue
                assert not refusals, f"{name}, {title}: {refusals}"
                known = python(code, place, known)
                if title == "Arrays of any step":
                    assert known["about"]["axes"]["attention/pattern.layer0"] == ["head", "query", "key"]
                    ours = known["x"]
                elif spelled:
                    if spelled == "gpt2":
                        check_loading(place)
                    print(f"{name}, {title}: {check_model(name, title, known, ours)}")
                    for made in ("missing", "cache", "found"):
                        known.pop(made, None)
                elif title == "Plain tensors":
                    check_tensors(known)
                elif title == "Metrics as tables":
                    check_tables(known)
                elif title == "TensorBoard":
                    check_events(known, known.get("rows"))
    print("the recipes do what they say")


if __name__ == "__main__":
    main()
