#!/usr/bin/env bash
# How long after launch the induction head has formed, with the window open: the default experiment, seeds 0 to 9.
# Needs a display; without one: xvfb-run -a -s "-screen 0 1600x1000x24 -noreset" docs/emergence.sh
# Prints one line a seed: the step of the mark, seconds from launch to the mark (which needs three evaluations in a
# row), and steps recorded by then. Other work on the machine lengthens it.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_DATA_HOME="$work/data" XDG_CONFIG_HOME="$work/config"

cargo build --release
app=target/release/mnemoscope
for seed in ${*:-0 1 2 3 4 5 6 7 8 9}; do
  run="$work/run-$seed"
  sed "s/^seed = .*/seed = $seed/" assets/experiments/birth.toml >"$work/birth-$seed.toml"
  begun=$(date +%s%N)
  "$app" "$work/birth-$seed.toml" --out "$run" 2>/dev/null &
  window=$!
  until grep -qs "induction head formed" "$run/events.jsonl"; do
    sleep 0.1
    [ $(($(date +%s%N) - begun)) -lt 180000000000 ] || break
  done
  tenths=$((($(date +%s%N) - begun) / 100000000))
  step=$(grep -s "induction head formed" "$run/events.jsonl" | grep -o '"step":[0-9]*' | head -1 | cut -d: -f2 || true)
  reached=$(tail -1 "$run/metrics.csv" | cut -d, -f1 || true)
  echo "seed $seed: induction head formed at step ${step:-never}, $((tenths / 10)).$((tenths % 10)) s after launch (step $reached)"
  kill -TERM "$window" && wait "$window" || true
done
