#!/bin/sh
# Builds the fuzz targets with libFuzzer on the pinned toolchain and runs each for some seconds.
#
# Usage: run.sh SECONDS [TARGET...]    all targets where none is named
#
# The compiler's own pass counts coverage, without a sanitizer: our crates hold no unsafe code, and overflows and debug
# assertions panic. Build output goes below TIDEMARK_CACHE, as do the inputs that were found to reach something new, which the
# next run starts from. An input that fails is left in TIDEMARK_CACHE/fuzz/failed/TARGET and named; once its cause is mended
# it becomes an entry of regressions/TARGET.
set -eu
seconds=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
cache="${TIDEMARK_CACHE:-$HOME/.cache/tidemark}/fuzz"
host=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR="$cache/target"

# With --target the flags are for what is fuzzed, not for what runs while it is built.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
flags="$flags --cfg fuzzing"
(cd "$here" && RUSTFLAGS="$flags" \
    cargo build --locked --quiet --profile fuzz --target "$host" --features libfuzzer --bin fuzz-cassandra)
fuzzer="$CARGO_TARGET_DIR/$host/fuzz/fuzz-cassandra"

# libFuzzer says at every start which parts of a sanitizer it has not.
targets=$("$fuzzer" 2>/dev/null)
[ -n "$targets" ] || { echo "$fuzzer has no targets" >&2; exit 1; }
[ $# -gt 0 ] || set -- $(echo "$targets" | cut -d ' ' -f 1)
status=0
printf '%-18s %12s %8s %8s %8s\n' target executions edges corpus seconds
for target; do
    corpus="$cache/corpus/$target" failed="$cache/failed/$target" log="$cache/$target.log"
    mkdir -p "$corpus" "$failed"
    longest=$(echo "$targets" | sed -n "s/^$target //p")
    [ -n "$longest" ] || { echo "there is no target $target" >&2; exit 1; }
    TIDEMARK_FUZZ_TARGET=$target TIDEMARK_FUZZ_SEEDS=$corpus "$fuzzer" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    known="$here/regressions/$target"
    [ -d "$known" ] || known=
    if ! TIDEMARK_FUZZ_TARGET=$target "$fuzzer" -max_total_time="$seconds" -max_len="$longest" -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$failed/" "$corpus" $known >"$log" 2>&1; then
        status=1
        echo "$target failed:"
        grep -E 'panicked|memory allocation|SUMMARY|Test unit written' -A 2 "$log" || tail -n 20 "$log"
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -n 1)
    edges=$(echo "$last" | sed -n 's/.* cov: \([0-9]*\).*/\1/p')
    size=$(echo "$last" | sed -n 's/.* corp: \([0-9]*\).*/\1/p')
    took=$(sed -n 's/^Done .* in \([0-9]*\) second.*/\1/p' "$log")
    printf '%-18s %12s %8s %8s %8s\n' "$target" "${executions:--}" "${edges:--}" "${size:--}" "${took:--}"
done
exit $status
