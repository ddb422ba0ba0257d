#!/usr/bin/env bash
# Everything that waits for a GPU, on a machine that has nothing else: parity, all stages, a ResNet-50 job, every method of
# attribution, a table. No network and no Python; where there is a Python with torch, PyTorch and its libraries run beside.
#
# Where cargo is:     tests/bench/gpu.sh build cuda PROGRAMS       compiles and copies what is needed into PROGRAMS
# On the GPU machine: tests/bench/gpu.sh run cuda PROGRAMS OUT     from the top level; OUT/table.md is for data/bench
# With cpu in place of cuda it tests itself, with a smaller job and everything once. Ends with 0 if parity holds and everything ran.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
usage="usage: tests/bench/gpu.sh build|run cpu|cuda[:N] PROGRAMS [OUT]"
what=${1:?$usage} device=${2:?$usage} programs=${3:?$usage}

build() {
  local flags=(--release --workspace)
  [[ $device == cpu ]] || flags+=(--features cuda)
  mkdir -p "$programs"
  cargo build "${flags[@]}" --bins --examples && cargo test "${flags[@]}" --test parity --no-run &&
    cargo bench --workspace "${flags[@]:2}" --bench resnet50 --bench linear --no-run || exit 1
  cp target/release/{features,probe,attribute,evaluate,report} target/release/examples/resnet50_job "$programs"
  for name in parity resnet50 linear; do
    cp "$(find target/release/deps -name "$name-*" -type f -executable -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)" \
      "$programs/$name"
  done
}

# A program compiles its kernels unless this file, looked for where it is started, says where they are kept; so a second run
# shows what is left once they are.
keep_kernels() {
  mkdir -p "$out/kernels"
  trap 'rm -f cubecl.toml' EXIT
  local place; place=$(realpath "$out/kernels")
  printf '[%s]\ncache = { file = "%s" }\n' autotune "$place" compilation "$place" >cubecl.toml
}

# What a command says goes to OUT/NAME.log; its seconds go into the table, on a GPU those of a second run too, because the
# first also compiles kernels.
row() {
  local name=$1; shift
  local seconds=() log=$out/${name//[ \/,]/-}.log
  for round in $rounds; do
    local since; since=$(date +%s.%N)
    if ! "$@" >"$log" 2>&1; then
      echo "| $name | failed: $(tail -n 1 "$log" | tr '|' '/') | |" | tee -a "$table"
      failed=1
      return
    fi
    seconds+=("$(echo "$(date +%s.%N) $since" | awk '{ printf "%.1f", $1 - $2 }')")
  done
  echo "| $name | ${seconds[0]} | ${seconds[1]:-} |" | tee -a "$table"
}

stages() {
  local name=$1 config=$2 place=$3; shift 3
  for stage in "$@"; do
    row "$name $stage" "$programs/$stage" --config "$config" --out "$place" --device "$device" --force
  done
}

# The rounds of a method follow each other in one process, so a second one has its kernels.
methods() {
  local names=(forward input_x_gradient guided_backprop grad_cam lrp "integrated_gradients 2" "lime 10" bcos)
  for name in "${names[@]}"; do for round in $rounds; do echo "$name"; done; done |
    "$programs/resnet50" --bench 2>"$out/methods.log" |
    awk -v names="$(IFS=,; echo "${names[*]}")" -v rounds="$(wc -w <<<"$rounds")" 'BEGIN { split(names, name, ",") }
      $1 !~ /^[0-9.e-]+$/ { print > "/dev/stderr"; wrong = 1 }
      { times = times sprintf(" %.1f |", $1) }
      NR % rounds == 0 { print "| " name[NR / rounds] " |" times (rounds == 1 ? " |" : ""); times = "" }
      END { exit wrong || NR == 0 }' |
    tee -a "$table"
  [[ ${PIPESTATUS[*]:1:2} == "0 0" ]] || failed=1
}

# A benchmark of tests/bench beside PyTorch; what it prints goes to OUT.
peer() {
  local script=$1; shift
  python3 "tests/bench/$script.py" --device "$device" --programs "$programs" "$@" >>"$out/$script.txt" 2>&1 || failed=1
}

run() {
  out=${1:?$usage} failed=0
  mkdir -p "$out"
  table=$out/table.md
  local images=1600
  rounds="first again"
  [[ $device == cpu ]] && images=160 rounds=first
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
  [[ $device == cpu || -e cubecl.toml ]] || keep_kernels

  row "parity" "$programs/parity" --test-threads 2

  row "shapes" "$programs/features" shapes --config data/experiments/shapes.toml --out "$out/shapes" --force
  for experiment in shapes-resnet shapes-bcos; do
    # The shipped experiments read out/shapes.
    sed "s#out/shapes/#$out/shapes/#" "data/experiments/$experiment.toml" >"$out/$experiment.toml"
    stages "$experiment" "$out/$experiment.toml" "$out/$experiment" features probe attribute evaluate
  done
  sed "s#out/#$out/#" data/experiments/report.toml >"$out/report.toml"
  row "report" "$programs/report" --config "$out/report.toml" --out "$out/report" --force

  job=$out/resnet50
  "$programs/resnet50_job" "$job" "$images" || failed=1
  row "ResNet-50 import, $images pictures" "$programs/features" import --config "$job/job.toml" --out "$job/out" --force
  stages "ResNet-50" "$job/job.toml" "$job/out" features
  if [[ $device != cpu ]]; then
    sed 's#^\[features\]#&\nprecision = "bfloat16"#' "$job/job.toml" >"$job/bfloat16.toml"
    stages "ResNet-50 bfloat16" "$job/bfloat16.toml" "$job/bfloat16" features
  fi
  stages "ResNet-50" "$job/job.toml" "$job/out" probe attribute evaluate
  row "ResNet-50 report" "$programs/report" --config "$job/job.toml" --out "$job/report" --force

  methods
  if python3 -c "import torch, torchvision" 2>/dev/null; then
    peer features --images 2000
    peer features --images 2000 --precision bfloat16
    peer features --images 2000 --precision bfloat16 --compile
    peer attribution --rounds 1
    peer probes --rounds 1 --threads 1 --lines one,sweep,stacked
  else
    echo "No Python with torch here, so nothing ran beside PyTorch." | tee -a "$table"
  fi
  exit "$failed"
}

case $what in
  build) build ;;
  run) run "${4:-}" ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
