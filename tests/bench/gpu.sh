#!/usr/bin/env bash
# Everything that waits for a GPU, on a machine that has nothing else: parity, all stages, a table. No network, no Python.
#
# Where cargo is:     cargo build --release --workspace --features cuda && cargo test --release --workspace --features cuda \
#                         --test parity --no-run && cp target/release/deps/parity-* target/release/parity
# On the GPU machine: tests/bench/gpu.sh [PROGRAMS] [DEVICE] [OUT]     (target/release, cuda, out-gpu), from the top level
#
# PROGRAMS holds features, probe, attribute, evaluate and report, built with --features cuda, and the test program parity.
# With DEVICE cpu it tests itself. Ends with 0 if parity holds and every stage ran; OUT/table.md is for data/bench.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
programs=${1:-target/release} device=${2:-cuda} out=${3:-out-gpu}
mkdir -p "$out"
table=$out/table.md failed=0

# What a command says last goes to OUT/NAME.log; its seconds go into the table, those of a second run too, because the first
# also compiles kernels.
row() {
  local name=$1; shift
  local seconds=() log=$out/${name//[ \/]/-}.log
  for round in first again; do
    local since; since=$(date +%s.%N)
    if ! "$@" >"$log" 2>&1; then
      echo "| $name | failed: $(tail -n 1 "$log" | tr '|' '/') | |" | tee -a "$table"
      failed=1
      return
    fi
    seconds+=("$(echo "$(date +%s.%N) $since" | awk '{ printf "%.1f", $1 - $2 }')")
  done
  echo "| $name | ${seconds[0]} | ${seconds[1]} |" | tee -a "$table"
}

{
  echo "# Stages on $device"
  echo
  date -u +%Y-%m-%d
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || grep -m 1 "model name" /proc/cpuinfo
  echo
  echo "| what | first run, s | again, s |"
  echo "|---|---|---|"
} | tee "$table"

export PROBESCOPE_DEVICE=$device
row "parity" "$programs/parity" --test-threads 2

row "shapes" "$programs/features" shapes --config data/experiments/shapes.toml --out "$out/shapes" --force
for experiment in shapes-resnet shapes-bcos; do
  # The shipped experiments read out/shapes.
  sed "s#out/shapes/#$out/shapes/#" "data/experiments/$experiment.toml" >"$out/$experiment.toml"
  for stage in features probe attribute evaluate; do
    row "$experiment $stage" "$programs/$stage" --config "$out/$experiment.toml" --out "$out/$experiment" --device "$device" --force
  done
done
sed "s#out/#$out/#" data/experiments/report.toml >"$out/report.toml"
row "report" "$programs/report" --config "$out/report.toml" --out "$out/report" --force
exit "$failed"
