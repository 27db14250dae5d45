#!/usr/bin/env bash
# Makes README's pictures from a run of the default experiment: the window after the head has formed, and the birth.
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
