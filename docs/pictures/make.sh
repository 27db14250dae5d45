#!/usr/bin/env bash
# Makes README's pictures: the window after the head of the default experiment has formed, its birth, and the memory zoo (half an hour).
# Needs a display; without one: xvfb-run -a -s "-screen 0 1600x1000x24 -noreset" docs/pictures/make.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_DATA_HOME="$work/data" XDG_CONFIG_HOME="$work/config"

cargo build --release --example animate
cargo build --release
app=target/release/mnemoscope
last=${1:-400}
"$app" birth --out "$work/run" --at-step "$last" --screenshot docs/pictures/window.png --force

frames=()
for i in $(seq 0 12); do
  step=$((last * i / 12))
  frame="$work/$(printf %04d "$i").png"
  "$app" "$work/run" --at-step "$step" --screenshot "$frame"
  frames+=("$frame")
done
target/release/examples/animate docs/pictures/birth.png 0.5 "${frames[@]}"

"$app" sweep memory-zoo --out "$work/zoo" --jobs 1 --quiet
"$app" figure "$work/zoo" sweep_map --width 170mm --height 105mm --dpi 160 -o docs/pictures/zoo.png --alone --force

# Those of docs/panels.md about working memory.
for name in parity-gru parity-transformer automaton-s3-gru copy-memory-tokens; do
  "$app" train "$name" --set train.threads=1 --out "$work/$name" --quiet
done
picture() {
  "$app" figure "$work/$1" "$2" "${@:4}" --dpi 160 -o "docs/pictures/$3.png" --alone --force
}
picture parity-gru length length --beside "$work/parity-transformer" --width 120mm --height 52mm
picture automaton-s3-gru automaton automaton --step 500 --width 140mm --height 85mm
picture copy-memory-tokens working_memory working-memory --step 300 --width 120mm --height 90mm
